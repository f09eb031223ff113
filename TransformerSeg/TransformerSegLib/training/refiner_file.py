"""A trained refinement as files: its weights, and beside them what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib import __version__
from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_folder, written_atomically
from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.refiner_card import PROVEN_SPACING_MM, ClicksMeasured, RefinerCard, card_path
from TransformerSegLib.interaction.refining import LearnedRefinement
from TransformerSegLib.training.cases import DataList, counted_cases
from TransformerSegLib.training.click_curves import ByClicks, curves

if TYPE_CHECKING:
    import torch

    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.training.refiner_training_module import ClickCase

LIMITS = (
    "It learned from clicks on one structure in MR, with voxels of 1 mm. With others it was measured on the same "
    "cases, resampled; on other structures it was not measured. At most four classes around a click are refined.",
    "The users that it learned from, and was measured with, are simulated.",
)


def check_refiner_output(path: Path) -> None:
    """Make sure, before the training, that its files can be written.

    Raises:
        OutputRejected: one of them is there, or the folder is missing or cannot be written to.
    """
    for file in (path, card_path(path)):
        if file.exists():
            raise OutputRejected(
                f"“{file}” exists",
                why="what was learned is never overwritten",
                remedy="Name another file with --output",
            )
    if path.suffix != ".safetensors":
        raise OutputRejected(
            f"“{path.name}” does not end in .safetensors",
            why="weights are written in that format",
            remedy="Give the output another name",
        )
    check_folder(path.parent)


def write_refiner(path: Path, network: torch.nn.Module, card: RefinerCard) -> RefinerCard:
    """Write weights and card; each file is there whole or not at all.

    Args:
        card: its ``sha256`` is filled in.

    Raises:
        OutputRejected: they cannot be written.
    """
    from safetensors.torch import save

    content = save(network.state_dict())
    card = card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    with written_atomically(path) as draft:
        draft.write_bytes(content)
    with written_atomically(card_path(path)) as draft:
        draft.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return card


def refiner_card(
    bundles: Sequence[Bundle],
    data: DataList,
    command: str,
    measured: dict[str, ClicksMeasured],
    limits: Sequence[str] = LIMITS,
) -> RefinerCard:
    """What is known of a network that was trained on models' answers to the training cases of the data, and measured
    on the others.

    Args:
        bundles: the models; the first is that whose answers it is to serve.
    """
    name = data.name or "unnamed data"
    kept_out = f"{counted_cases(len(data.validation))} of {name} that were kept out of training"
    return RefinerCard(
        sha256="",
        spacing_mm=PROVEN_SPACING_MM,
        model=_titled(bundles[0]),
        model_sha256=bundles[0].weights_sha256,
        others=tuple(map(_titled, bundles[1:])),
        training_data=f"{counted_cases(len(data.training))} of {name}: answers to those that a model was not trained "
        "on, and to worse images of them where it was trained on all",
        licence=data.licence,
        command=command,
        versions={"transformerseg": __version__, "torch": version("torch")},
        measured=measured,
        measured_data=kept_out if measured else "",
        limits=tuple(limits),
    )


def measured_clicks(
    network: torch.nn.Module, cases: Sequence[ClickCase], say: Callable[[str], None], of: str = ""
) -> dict[str, ClicksMeasured]:
    """What two simulated users' clicks make of a model's answers, without the network and with it.

    Args:
        cases: that it was not trained on.
        say: shows one line to the user.
        of: is added to the ways: whose answers these are.

    Returns:
        way → figures; empty where there are no cases.
    """
    ways = {
        "kernel correction": (None, False),
        "kernel correction, then the learned step": (network, False),
        "kernel correction, sloppy user": (None, True),
        "kernel correction, then the learned step, sloppy user": (network, True),
    }
    found: dict[str, ClicksMeasured] = {}
    for way, (step, sloppy) in ways.items() if cases else ():
        name = way + of
        found[name] = curves([(_corrected(case, step), case.truth) for case in cases], sloppy).measured()
        told = ", ".join(f"{dice:.4f} after {clicks}" for clicks, dice in found[name].dice.items())
        say(f"{name}: mean Dice {told}; {found[name].clicks} clicks to 0.90 ({found[name].never} never)")
    return found


def _titled(bundle: Bundle) -> str:
    return f"{bundle.card.title} {bundle.card.version}"


def _corrected(case: ClickCase, network: torch.nn.Module | None) -> ByClicks:
    from TransformerSegLib.training.refiner_training_module import WholeScores

    classes = {number - 1: number for number in range(1, len(case.logits))}
    field = ClassField.of(case.logits.argmax(axis=0).astype("u1"), classes)
    refine = network and LearnedRefinement(network, case.image)
    return ByClicks(Corrector([field], case.spacing, WholeScores(case.logits), refine))
