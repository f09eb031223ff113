"""What a user may say of a checkpoint beside its labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from TransformerSegLib.bundles.plan import IntensityStep, NormalizeIntensity, ScaleIntensityRange
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.registry import ARCHITECTURES

ALIASES = {
    "swinunetrv2": "SwinUNETR",
    "unetr": "UNETR",
    "tamasino52": "UNETRTamasino52",
    "tamasino52unetr": "UNETRTamasino52",
    "r50vitb16": "TransUNet",
    "vitseg": "TransUNet",
    "swintransformersys": "SwinUnet",
    "unestbasepatch4": "UNesT",
}
"""Names that people use → names in the registry; both without signs and capitals."""

RELATED = {"UNETR": {"UNETR", "UNETRTamasino52"}}
"""What a name may also mean: both are UNETR, as two repositories write it."""

INTENSITIES = {
    "z-score": NormalizeIntensity(channel_wise=True),
    "z-score-nonzero": NormalizeIntensity(nonzero=True, channel_wise=True),
    "none": None,
}
"""What ``--intensity`` takes beside a range."""


@dataclass(frozen=True)
class ImportOptions:
    """Each is empty where the user says nothing.

    Attributes:
        architecture: of the network, in any spelling; only checked.
        title: of the model, for people.
        merging: of patches in Swin UNETR: "legacy", "merging" or "mergingv2".
        monai_version: that the weights were trained with.
        heads: of the attention; one number, or one for each stage.
        image_size: voxels, along all axes or each: what the network was built for, or the size of a window.
        window_size: of Swin's attention, voxels, one or three sides.
        recipe: a key of ``RECIPES``.
        activation: "softmax" or "sigmoid".
        modality: "CT" or "MR".
        spacing_mm: that volumes are resampled to; one or three numbers, or none for their own.
        intensity: "-175,250", or a key of ``INTENSITIES``.
        orientation: axis codes.
        inputs: names of the volumes, in the order of the channels.
        slices: "axial", "coronal" or "sagittal".
        licence: of the weights.
    """

    architecture: str = ""
    title: str = ""
    merging: str = ""
    monai_version: str = ""
    heads: tuple[int, ...] = ()
    image_size: tuple[int, ...] = ()
    window_size: tuple[int, ...] = ()
    recipe: str = ""
    activation: str = ""
    modality: str = ""
    spacing_mm: tuple[float, ...] | None = None
    intensity: str = ""
    orientation: str = ""
    inputs: tuple[str, ...] = ()
    slices: str = ""
    licence: str = ""


def architectures_called(spelling: str) -> set[str]:
    """The networks, by their names in the registry, that a spelling may mean ("Swin-UNETR", "unetr_tamasino52").

    Raises:
        CheckpointRejected: it means none.
    """
    known = {_bare(name): name for name in ARCHITECTURES} | ALIASES
    name = known.get(_bare(spelling))
    if name is None:
        raise CheckpointRejected(
            f"There is no network {quoted(spelling)} here",
            why=f"the networks that can be imported are {', '.join(sorted(ARCHITECTURES))}",
            remedy="Write --architecture with one of these, or leave it out: the checkpoint tells it",
        )
    return RELATED.get(name, {name})


def intensity_step(text: str) -> IntensityStep | None:
    """How intensities are scaled, as ``--intensity`` says it; a range goes to 0…1, and what is outside is cut off.

    Raises:
        CheckpointRejected: the text is no range and none of ``INTENSITIES``.
    """
    if text in INTENSITIES:
        return INTENSITIES[text]
    number = r"\s*([-+−]?\d+(?:\.\d+)?)\s*"
    found = re.fullmatch(f"{number}[,:]{number}", text)
    if found is not None:
        lowest, highest = (float(value.replace("−", "-")) for value in found.groups())
        if lowest < highest:
            return ScaleIntensityRange(lowest, highest, 0.0, 1.0, clip=True)
    raise CheckpointRejected(
        f"--intensity {quoted(text)} is not understood",
        why=f"it is a range, the smaller number first, or one of {', '.join(INTENSITIES)}",
        remedy="Write for example --intensity -175,250",
    )


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
