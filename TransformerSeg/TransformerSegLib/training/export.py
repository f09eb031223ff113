"""From a trained network to a bundle: weights in half precision, configuration, card, documents."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.plan import (
    NetworkPlan,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Plan,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.bundles.template import WEIGHTS_FILE, bundle_metadata, inference_configuration
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

DEFINITION_FILES = ("recipe.json", "data_list.json", "card.json")
"""What a training run is defined by; a bundle keeps them in its folder ``training``."""


def plan_of(recipe: Recipe) -> Plan:
    """What a bundle trained by ``recipe`` asks of the engine: the preparation that its training data had, windows of
    the training patch's size, softmax and argmax."""
    return Plan(
        network=NetworkPlan(recipe.architecture, recipe.network),
        preparation=(Orientation(recipe.axcodes), Spacing(recipe.spacing_mm), NormalizeIntensity()),
        window=WindowPlan(recipe.patch, overlap=(recipe.overlap,) * 3, weighting=Weighting.GAUSSIAN),
        output=OutputPlan(),
    )


def export_bundle(
    folder: Path, network: torch.nn.Module, recipe: Recipe, card: Card, definition: Path | None = None
) -> None:
    """Write a complete bundle; the folder appears whole or not at all.

    Args:
        folder: must not exist.
        network: trained; its weights are stored as float16, other tensors as they are.
        recipe: that it was trained by.
        card: of the model.
        definition: folder with the run's ``DEFINITION_FILES``, which are kept in the bundle.
    """
    import torch
    from safetensors.torch import save_file

    weights = {
        name: (tensor.half() if tensor.dtype == torch.float32 else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        (draft / "models").mkdir()
        save_file(weights, draft / "models" / WEIGHTS_FILE)
        (draft / "models" / WEIGHTS_FILE).chmod(0o644)  # safetensors lets only its owner read what it writes
        if definition is not None:
            (draft / "training").mkdir()
            for name in DEFINITION_FILES:
                shutil.copyfile(definition / name, draft / "training" / name)
        (draft / "LICENSE").write_text(f"{card.licence}\n\nTraining data: {card.training_data}\n", encoding="utf-8")
        write_card(draft, card, plan_of(recipe))
        draft.chmod(0o755)
        os.rename(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def write_card(folder: Path, card: Card, plan: Plan) -> None:
    """(Re)write what a bundle says of itself: ``configs`` and ``docs/README.md``."""
    _write_json(folder / "configs" / "metadata.json", bundle_metadata(card, plan))
    names = tuple(channel.name for channel in card.inputs)
    _write_json(folder / "configs" / "inference.json", inference_configuration(plan, names))
    _write_text(folder / "docs" / "README.md", "\n".join(_document(card)) + "\n")


def _document(card: Card) -> Sequence[str]:
    lines = [f"# {card.title}", "", card.description, "", f"**{card.intended_use}**", ""]
    lines += ["| label | class | SNOMED CT | Dice |", "|---|---|---|---|"]
    for definition in card.classes:
        code = f"{definition.type.value} {definition.type.meaning}" if definition.type else ""
        measured = f"{card.dice[definition.name]:.3f}" if definition.name in card.dice else ""
        lines.append(f"| {definition.label} | {definition.name} | {code} | {measured} |")
    lines += ["", f"Dice: {card.dice_data or 'not measured'}.", ""]
    lines += [f"Training data: {card.training_data}", "", f"Licence: {card.licence}", "", "Known limits:", ""]
    lines += [f"- {limit}" for limit in card.limits]
    lines += ["", "Trained by (DATA is the folder with `imagesTr` and `labelsTr`, MODEL this bundle's):", ""]
    lines += ["```", "transformerseg train MODEL/training --data DATA --output NEW_MODEL", "```", ""]
    lines += ["References:", "", *(f"- {reference}" for reference in card.references)]
    return lines


def _write_json(path: Path, content: object) -> None:
    _write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
