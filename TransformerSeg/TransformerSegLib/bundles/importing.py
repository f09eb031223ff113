"""A checkpoint as an official trainer saves it → a complete bundle with a card.

Weights are read as data, the network is recognised by their names and shapes, and what those cannot tell is asked for,
all of it at once. The bundle is read back, weights and all, before it gets its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import Card, Requirements
from TransformerSegLib.bundles.digests import digests
from TransformerSegLib.bundles.import_network import (
    MERGING,
    Question,
    Settled,
    architecture_of,
    names_taken,
    refuse_misfits,
    settle,
)
from TransformerSegLib.bundles.import_options import ImportOptions
from TransformerSegLib.bundles.import_plan import Preparing, chosen, plan_for
from TransformerSegLib.bundles.labels import Label, are_exclusive, read_labels, segment_classes
from TransformerSegLib.bundles.layout import LICENCE
from TransformerSegLib.bundles.plan import Plan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.surroundings import BESIDE, recognised_among
from TransformerSegLib.bundles.weights import Checkpoint, read_checkpoint
from TransformerSegLib.bundles.writing import new_folder, refuse_overwriting, write_card, write_weights
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.swin_unetr import merging_told

if TYPE_CHECKING:
    import torch

ARGUMENTS_TOLD = {
    "img_size": "The image size",
    "num_heads": "The number of attention heads",
    "in_channels": "The number of input volumes",
    "normalize": "The normalisation of the encoder's features",
}
"""Arguments that may be assumed, in words."""

NOT_LEARNED = ("running_mean", "running_var", "attn_mask")
"""Ends of the names of tensors with numbers that are no parameters."""

EXTRAS_SHOWN = 10

LICENCE_UNKNOWN = "Not stated: ask the makers of the weights"


def import_checkpoint(
    checkpoint: Path,
    labels: Path,
    output: Path,
    options: ImportOptions | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Make a bundle of a checkpoint.

    Args:
        checkpoint: a ``.pth``, ``.pt`` or ``.safetensors`` file of an official trainer.
        labels: the file that names the network's classes, see ``read_labels``.
        output: the bundle's folder; must not exist. Its name is the model's.
        options: what the user says beside it.
        say: shows one line: what was recognised, assumed, left behind.

    Raises:
        CheckpointRejected: the file is no checkpoint of a network that is known, does not fit it, or leaves something
            open; its details list every tensor that does not fit, or everything that is open.
        BundleRejected: the file is damaged, or holds more than tensors.
        LabelsRejected: the classes cannot be read, or are not those of the network.
        OutputRejected: ``output`` is there already, or cannot be written.
    """
    options = options or ImportOptions()
    refuse_overwriting(output)
    named = read_labels(labels)
    seen: list[_Understood] = []
    loaded = read_checkpoint(checkpoint, lambda shapes: seen.append(_understood(shapes, options, checkpoint)))
    understood = seen[0]
    plan, card = _plan_and_card(understood, named, options, output.name, checkpoint)
    tensors = _needed(loaded.tensors, understood)
    _tell(say, understood, loaded, tensors, card)
    origin = [f"Imported by `transformerseg import` from “{checkpoint.name}”, SHA-256 {digests(checkpoint)['sha256']}."]
    with new_folder(output) as draft:
        write_weights(draft, tensors)
        (draft / LICENCE).write_text(f"{card.licence}\n", encoding="utf-8")
        write_card(draft, card, plan, origin)
        read_bundle(draft).network()
    return read_bundle(output)


@dataclass(frozen=True)
class _Understood:
    """A checkpoint of which nothing is open any more."""

    found: Recognised
    settled: Settled
    preparing: Preparing
    architecture: Architecture


def _understood(shapes: Shapes, options: ImportOptions, checkpoint: Path) -> _Understood:
    """From names and shapes alone, before any memory is taken for tensors."""
    found = recognised_among(shapes)
    settled = settle(found, options, checkpoint)
    preparing, questions = chosen(found.architecture, settled.arguments, options)
    _ask(*settled.questions, *questions)
    architecture = architecture_of(found, settled.arguments)
    refuse_misfits(shapes, found, architecture)
    return _Understood(found, settled, preparing, architecture)


def _plan_and_card(
    understood: _Understood, labels: Sequence[Label], options: ImportOptions, name: str, checkpoint: Path
) -> tuple[Plan, Card]:
    architecture, recipe = understood.architecture, understood.preparing.recipe
    channels = architecture.out_channels
    exclusive = (
        options.activation == "softmax"
        if options.activation
        else are_exclusive(labels, channels, usually=recipe.exclusive)
    )
    plan = plan_for(architecture, understood.preparing, options, exclusive=exclusive)
    layout = understood.found.layout
    card = Card(
        name=name,
        title=options.title or f"{layout.partition(',')[0]} from “{checkpoint.name}”",
        version="1.0.0",
        description=f"Imported from the checkpoint “{checkpoint.name}” ({layout}).",
        inputs=recipe.inputs,
        classes=segment_classes(labels, channels, exclusive=exclusive),
        requirements=Requirements(modality=recipe.modality or None),
        licence=options.licence or LICENCE_UNKNOWN,
        limits=_limits(understood, plan),
        trained_with_monai=understood.settled.trained_with_monai,
        slices=plan.slices,
    )
    return plan, card


def _needed(tensors: Mapping[str, torch.Tensor], understood: _Understood) -> dict[str, torch.Tensor]:
    """The tensors of the network by their names in it, each in memory of its own, as safetensors wants them."""
    outline = understood.architecture.outline()
    names = names_taken(tensors, understood.found)
    return {new: tensors[old].contiguous().clone() for old, new in names.items() if new in outline}


def _ask(*questions: Question) -> None:
    if not questions:
        return
    what = " and ".join(question.what for question in questions)
    raise CheckpointRejected(
        f"The checkpoint does not tell {what}",
        why="its tensors have the same names and shapes either way, and the result depends on it",
        remedy=f"Add {' and '.join(question.option for question in questions if question.option)}",
        details=[f"{question.option.split()[0]}: {question.hint}." for question in questions if question.option],
    )


def _limits(understood: _Understood, plan: Plan) -> tuple[str, ...]:
    """What the card says that nobody knows for sure."""
    settled, preparing = understood.settled, understood.preparing
    limits = [
        f"{ARGUMENTS_TOLD.get(name, name)} ({_written(settled.arguments[name])}) is assumed: {reason}."
        for name, reason in settled.assumed.items()
    ]
    if preparing.assumed:
        limits.append(f"{preparing.assumed}; the checkpoint does not hold it.")
    if plan.slices:
        codes = preparing.recipe.orientation
        limits.append(f"The direction in which the {plan.slices} slices lie before the network ({codes}) is assumed.")
    return tuple(limits)


def _tell(
    say: Callable[[str], None],
    understood: _Understood,
    loaded: Checkpoint,
    tensors: Mapping[str, torch.Tensor],
    card: Card,
) -> None:
    found, arguments = understood.found, understood.settled.arguments
    read = {name: tensor for name, tensor in loaded.tensors.items() if found.ignored.get(name) != BESIDE}
    parameters = sum(tensor.numel() for name, tensor in read.items() if _is_learned(name, tensor))
    say(f"Recognised: {found.layout}; {parameters:,} parameters in {len(read)} tensors")
    say("  " + ", ".join(f"{name} {_written(value)}" for name, value in arguments.items()))
    if MERGING in arguments:
        say(f"  Patch merging: {merging_told(arguments)}")
    for limit in card.limits:
        say(limit)
    unneeded = Counter(found.ignored.values())
    if more := len(loaded.tensors) - len(tensors) - unneeded.total():
        unneeded["without part in the result"] = more
    for reason, count in unneeded.items():
        say(f"Left behind: {count} tensor{'s' * (count > 1)} ({reason})")
    if loaded.extras:
        more = f" and {len(loaded.extras) - EXTRAS_SHOWN} more" if len(loaded.extras) > EXTRAS_SHOWN else ""
        say(f"Left behind: {', '.join(loaded.extras[:EXTRAS_SHOWN])}{more} of the training")


def _is_learned(name: str, tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not name.endswith(NOT_LEARNED)


def _written(value: object) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple | list) else str(value)
