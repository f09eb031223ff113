"""From a checkpoint's tensors to a network that takes them: what they tell, what the user adds, what stays open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from TransformerSegLib.bundles.import_options import ImportOptions, architectures_called
from TransformerSegLib.bundles.known_weights import trained_with_monai
from TransformerSegLib.bundles.weights import misfits
from TransformerSegLib.errors import BundleRejected, CheckpointRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.registry import architecture_for, configured
from TransformerSegLib.networks.swin_unetr import LEGACY_MERGING, SwinUNETR

MERGING = "downsample"
"""The argument of Swin UNETR that names the order in which patches are merged."""

MERGING_ORDERS = (LEGACY_MERGING, "merging", "mergingv2")


@dataclass(frozen=True)
class Question:
    """Something that has to be told.

    Attributes:
        what: it is, for people ("the number of attention heads").
        option: that tells it, with values ("--heads N").
        hint: which value is right, as a sentence.
    """

    what: str
    option: str
    hint: str


QUESTIONS = {
    "num_heads": Question("the number of attention heads", "--heads N", "The number stands in the training's settings"),
    "img_size": Question(
        "the image size", "--image-size X[,Y,Z]", "Voxels of the images that the network was built for"
    ),
    "window_size": Question("the attention's window", "--window-size X,Y,Z", "Its sides in voxels"),
    MERGING: Question(
        "the order of patch merging",
        f"--merging {'|'.join(MERGING_ORDERS)}",
        "MONAI 1.5 changed the order in which Swin UNETR merges patches, under the same names and shapes. Write "
        "“legacy” for weights trained with MONAI 0.9 to 1.4 (every weight published for BTCV and BraTS21 is of that "
        "time), “merging” for MONAI 1.5 and later, “mergingv2” where the training asked for that; or write "
        "--monai-version with the version that they were trained with",
    ),
}
"""For the arguments that checkpoints leave open."""


@dataclass(frozen=True)
class Settled:
    """What a checkpoint and its user say together.

    Attributes:
        arguments: of the network, without what is still open.
        assumed: of them, what is likely but not certain, with reasons.
        questions: for what is still open.
        trained_with_monai: where that is known.
    """

    arguments: Mapping[str, object]
    assumed: Mapping[str, str]
    questions: tuple[Question, ...]
    trained_with_monai: str | None


def settle(found: Recognised, options: ImportOptions, checkpoint: Path) -> Settled:
    """Put together what the checkpoint tells and what the user does.

    Raises:
        CheckpointRejected: the two contradict each other.
    """
    _check_architecture(found, options.architecture)
    told = _told(found, options)
    version = None
    if MERGING in found.open:
        known = trained_with_monai(checkpoint)
        version = known or options.monai_version or None
        order = _merging_order(options.merging, version, known=known is not None)
        told |= {MERGING: order} if order else {}
    elif options.merging:
        raise _contradiction(
            f"--merging says nothing of a {found.architecture}", "only Swin UNETR merges patches in several orders"
        )
    for name, value in told.items():
        certain = name in found.arguments and name not in found.assumed
        if certain and _spread(found.arguments[name]) != _spread(value):
            raise CheckpointRejected(
                f"{QUESTIONS[name].option.split()[0]} {_written(value)} is not what the checkpoint holds",
                why=f"the shapes of its tensors tell {_written(found.arguments[name])}",
                remedy="Leave the option out",
            )
    left = [name for name in found.open if name not in told]
    questions = tuple(_question(name, found.hints.get(name)) for name in left)
    assumed = {name: reason for name, reason in found.assumed.items() if name not in told}
    return Settled({**found.arguments, **told}, assumed, questions, version)


def architecture_of(found: Recognised, arguments: Mapping[str, object]) -> Architecture:
    """The network with these arguments.

    Raises:
        CheckpointRejected: none is built with such arguments.
    """
    try:
        architecture = configured(found.architecture, arguments)
        architecture.outline()
    except BundleRejected as rejected:
        faulty = {name for name in arguments if quoted(name) in rejected.what}
        told = {name for name, value in arguments.items() if found.arguments.get(name) != value}
        raise CheckpointRejected(
            f"The checkpoint's network cannot be built ({found.layout})",
            why=rejected.what.replace("The bundle gives", "the checkpoint gives"),
            remedy="Ask its makers for one of the usual sizes: the shapes of its tensors tell this, and no option does"
            if faulty and not faulty & told
            else "Check the options that you gave, such as --heads and --image-size",
        ) from None
    return architecture


def refuse_misfits(shapes: Shapes, found: Recognised, architecture: Architecture) -> None:
    """Make sure that the network can take a checkpoint's tensors.

    Raises:
        CheckpointRejected: one is missing, unknown, or of another shape. Its details list all of them.
    """
    taken = {network_name: shapes[name] for name, network_name in names_taken(shapes, found).items()}
    if faults := misfits(taken, architecture.outline(), architecture.idle_weights):
        raise CheckpointRejected(
            f"{len(faults)} tensor{'s do' if len(faults) > 1 else ' does'} not fit the network ({found.layout})",
            why="it can work with complete and matching weights only",
            remedy="Compare the list with the settings of the training: it may have changed the network",
            details=faults,
        )


def names_taken(names: Iterable[str], found: Recognised) -> dict[str, str]:
    """Of a checkpoint's tensors, those that take part in the result → their names in the network."""
    return {name: found.renamed.get(name, name) for name in names if name not in found.ignored}


def _check_architecture(found: Recognised, spelling: str) -> None:
    if spelling and found.architecture not in architectures_called(spelling):
        raise CheckpointRejected(
            f"The checkpoint holds a {found.architecture}, and not what --architecture {quoted(spelling)} says",
            why=f"its tensors have the names of {found.layout}",
            remedy=f"Leave --architecture out, or write --architecture {found.architecture}",
        )


def _told(found: Recognised, options: ImportOptions) -> dict[str, object]:
    """The network's arguments that the user gave."""
    kind = architecture_for(found.architecture)
    told: dict[str, object] = {}
    if options.heads:
        told["num_heads"] = _one_or_several(options.heads)
    if options.image_size and "img_size" in kind.model_fields:
        sides = _one_or_several(tuple(dict.fromkeys(options.image_size)) if kind.axes == 2 else options.image_size)
        told["img_size"] = sides
    if options.inputs and "in_channels" in found.assumed:
        told["in_channels"] = len(options.inputs)
    if options.window_size:
        told["window_size"] = _one_or_several(options.window_size)
    return told


def _merging_order(given: str, version: str | None, *, known: bool) -> str:
    """The order of merging, or empty: it is not told."""
    if given and given not in MERGING_ORDERS:
        raise _contradiction(f"--merging {quoted(given)} is not known", f"it is one of {', '.join(MERGING_ORDERS)}")
    if version is None:
        return given
    if not re.match(r"\d+\.\d+", version):
        raise _contradiction(f"--monai-version {quoted(version)} is no version", "it reads like “1.3.0”")
    of_version = SwinUNETR.modern({MERGING: "merging"}, version)[MERGING]
    if given in ("", "merging", of_version):
        return str(of_version)
    if given == LEGACY_MERGING or known:
        whose = "these weights are known: they were" if known else "the weights were, as you say,"
        raise _contradiction(
            f"--merging {given} is not the order of these weights", f"{whose} trained with MONAI {version}"
        )
    return given


def _contradiction(what: str, why: str) -> CheckpointRejected:
    return CheckpointRejected(what, why=why, remedy="Correct the option, or leave it out")


def _question(name: str, hint: str | None) -> Question:
    asked = QUESTIONS.get(name, Question(f"the argument {quoted(name)}", "", "It stands in the training's settings"))
    return Question(asked.what, asked.option, f"{asked.hint}: {hint}" if hint else asked.hint)


def _one_or_several(values: tuple[int, ...]) -> int | tuple[int, ...]:
    return values[0] if len(values) == 1 else values


def _spread(value: object) -> object:
    """One number for three, so that 7 is 7×7×7."""
    return (value,) * 3 if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else value


def _written(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
