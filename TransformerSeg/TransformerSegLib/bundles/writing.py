"""Writing a bundle: its folder appears whole or not at all, and a model is never overwritten."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.layout import CONFIGURATION, DESCRIPTION, METADATA
from TransformerSegLib.bundles.plan import Plan
from TransformerSegLib.bundles.template import WEIGHTS_FILE, bundle_metadata, inference_configuration
from TransformerSegLib.errors import OutputRejected

if TYPE_CHECKING:
    import torch


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A hidden draft beside ``folder`` that takes its name at the end; an error leaves nothing of it.

    Raises:
        OutputRejected: ``folder`` is there already, or its parent cannot be written to.
    """
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        yield draft
        draft.chmod(0o755)
        refuse_overwriting(folder)  # again: an empty folder would be replaced
        os.rename(draft, folder)
    except OSError as error:
        raise _not_written(folder, error) from error
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def refuse_overwriting(folder: Path) -> None:
    """Raises:
    OutputRejected: there is something of this name already.
    """
    if folder.exists() or folder.is_symlink():
        raise OutputRejected(
            f"“{folder}” exists", why="a model is never overwritten", remedy="Name another folder with --output"
        )


def write_weights(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write the weights of the bundle in ``folder``."""
    from safetensors.torch import save

    path = folder / "models" / WEIGHTS_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save(dict(tensors)))


def write_card(folder: Path, card: Card, plan: Plan, origin: Sequence[str]) -> None:
    """(Re)write what a bundle says of itself: ``configs`` and ``docs/README.md``, each file replaced whole.

    Args:
        folder: the bundle's.
        card: of the model.
        plan: what it asks of the engine.
        origin: lines of its document on where it comes from.

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    rewrite_json(folder / METADATA, bundle_metadata(card, plan))
    names = tuple(channel.name for channel in card.inputs)
    rewrite_json(folder / CONFIGURATION, inference_configuration(plan, names))
    rewrite_text(folder / DESCRIPTION, "\n".join(_document(card, origin)) + "\n")


def _document(card: Card, origin: Sequence[str]) -> list[str]:
    lines = [f"# {card.title}", "", card.description, "", f"**{card.intended_use}**", ""]
    lines += [*measured_lines(card), ""]
    lines += [f"Training data: {card.training_data or 'not stated'}", "", f"Licence: {card.licence}", ""]
    lines += ["Known limits:", "", *(f"- {limit}" for limit in card.limits), "", *origin, ""]
    if card.references:
        lines += ["References:", "", *(f"- {reference}" for reference in card.references)]
    return lines


def measured_lines(card: Card) -> list[str]:
    """The part of a bundle's document that says how well the model does: its classes, and what was measured."""
    lines = ["| label | class | SNOMED CT | Dice |", "|---|---|---|---|"]
    for definition in card.classes:
        code = f"{definition.type.value} {definition.type.meaning}" if definition.type else ""
        measured = f"{card.dice[definition.name]:.3f}" if definition.name in card.dice else ""
        lines.append(f"| {definition.label} | {definition.name} | {code} | {measured} |")
    lines += ["", f"Dice: {card.dice_data or 'not measured'}."]
    if card.figures:
        titles = list(dict.fromkeys(title for figures in card.figures.values() for title in figures))
        lines += ["", "Means over these cases [95 % confidence interval]:", ""]
        lines += [f"| class | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
        for name, figures in card.figures.items():
            cells = (figures[title].in_words() if title in figures else "–" for title in titles)
            lines.append(f"| {name} | {' | '.join(cells)} |")
    if card.doubt:
        lines += ["", f"Doubt, at temperature {card.temperature:.2f}: {card.doubt.in_words()}."]
    return lines


def rewrite_json(path: Path, content: object) -> None:
    """As ``rewrite_text``, of plain JSON values."""
    rewrite_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def rewrite_text(path: Path, text: str) -> None:
    """Replace a file whole, or leave it as it was; its folder is made.

    Raises:
        OutputRejected: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> OutputRejected:
    return OutputRejected(
        f"“{path}” could not be written",
        why=error.strerror or str(error),
        remedy="Free some space there, or name another folder",
    )
