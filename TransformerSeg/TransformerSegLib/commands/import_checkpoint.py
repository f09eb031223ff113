"""``transformerseg import``: a checkpoint of an official trainer becomes a model."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from TransformerSegLib.commands.console import stoppable

Number = TypeVar("Number", int, float)

OWN_SPACING = "none"
"""What ``--spacing`` takes for volumes that stay as they are."""


def import_checkpoint(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A .pth, .pt or .safetensors file of an official trainer.")
    ],
    labels: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="JSON that names the classes: names with numbers, a list, or a dataset.json."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="BUNDLE", help="The bundle's folder; must not exist.")
    ],
    architecture: Annotated[
        str, typer.Option(metavar="NAME", help="unetr, swin-unetr, swin-unet, transunet or unest; only checked.")
    ] = "",
    title: Annotated[str, typer.Option(metavar="TEXT", help="What the model is called in lists.")] = "",
    merging: Annotated[
        str,
        typer.Option(
            metavar="ORDER",
            help="Of patches in Swin UNETR: legacy (of MONAI 0.9 to 1.4), merging (1.5 and later), mergingv2.",
        ),
    ] = "",
    monai_version: Annotated[
        str, typer.Option(metavar="VERSION", help="That the weights were trained with; tells the order of merging.")
    ] = "",
    heads: Annotated[
        str, typer.Option(metavar="N", help="Of the attention: one number, or one for each stage (4,8,16).")
    ] = "",
    image_size: Annotated[
        str,
        typer.Option(
            metavar="X[,Y,Z]", help="Voxels that the network was built for; of a window where it takes any size."
        ),
    ] = "",
    window_size: Annotated[
        str, typer.Option(metavar="X[,Y,Z]", help="Of Swin UNETR's attention, where it is no cube.")
    ] = "",
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How the images were prepared: btcv, brats21, synapse, renal, brain or plain. "
            "By default as the official trainer of such a network did.",
        ),
    ] = "",
    activation: Annotated[
        str, typer.Option(metavar="NAME", help="softmax (classes exclude each other) or sigmoid (they may overlap).")
    ] = "",
    modality: Annotated[str, typer.Option(metavar="NAME", help="CT or MR.")] = "",
    spacing: Annotated[
        str, typer.Option(metavar="X[,Y,Z]", help="In mm, that volumes are resampled to; “none”: their own.")
    ] = "",
    intensity: Annotated[
        str, typer.Option(metavar="SCALE", help="-175,250 (to 0…1), z-score, z-score-nonzero or none.")
    ] = "",
    orientation: Annotated[str, typer.Option(metavar="CODES", help="Axis codes, such as RAS.")] = "",
    inputs: Annotated[
        str, typer.Option(metavar="NAMES", help="Of the volumes in the order of the channels: FLAIR,T1ce,T1,T2.")
    ] = "",
    slices: Annotated[
        str, typer.Option(metavar="AXIS", help="That a slice network sees: axial, coronal or sagittal.")
    ] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Of the weights.")] = "",
) -> None:
    """Make a model of a checkpoint: UNETR, Swin UNETR, Swin-Unet, TransUNet or UNesT, as their trainers save them."""
    from TransformerSegLib.bundles.import_options import ImportOptions
    from TransformerSegLib.bundles.importing import import_checkpoint as make_bundle

    options = ImportOptions(
        architecture=architecture,
        title=title,
        merging=merging,
        monai_version=monai_version,
        heads=_numbers("--heads", heads, int),
        image_size=_numbers("--image-size", image_size, int),
        window_size=_numbers("--window-size", window_size, int),
        recipe=recipe,
        activation=activation,
        modality=modality.upper(),
        spacing_mm=_spacing(spacing),
        intensity=intensity,
        orientation=orientation.upper(),
        inputs=tuple(name.strip() for name in inputs.split(",") if name.strip()),
        slices=slices,
        licence=licence,
    )
    with stoppable("nothing was written"):
        bundle = make_bundle(checkpoint, labels, output, options, typer.echo)
    typer.echo(f"Saved {output}: {', '.join(each.name for each in bundle.card.classes)}")
    volumes = " ".join(f"{channel.name.replace(' ', '_')}.nii.gz" for channel in bundle.card.inputs)
    typer.echo(f"Use it: transformerseg segment {volumes} --model {shlex.quote(str(output))} --output result.seg.nrrd")


def _spacing(text: str) -> tuple[float, ...] | None:
    """None where nothing is said; empty where volumes stay as they are."""
    if text == OWN_SPACING:
        return ()
    return _numbers("--spacing", text, float) or None


def _numbers(option: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    try:
        numbers = tuple(kind(part) for part in text.replace("x", ",").replace("×", ",").split(",")) if text else ()
    except ValueError:
        raise typer.BadParameter(f"“{text}” is no number, nor several with commas between", param_hint=option) from None
    if any(not 0 < number < 1e4 for number in numbers):
        raise typer.BadParameter(f"“{text}” is out of range", param_hint=option)
    if option != "--heads" and len(numbers) not in (0, 1, 2, 3):
        raise typer.BadParameter(f"“{text}” has more than three numbers", param_hint=option)
    return numbers
