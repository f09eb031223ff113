"""Does the input suit the model? Answered at once, while a person chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.errors import (
    ClassUnknown,
    EmptyVolume,
    FieldOfViewMismatch,
    FieldOfViewTooLarge,
    FrameOfReferenceMismatch,
    InputMismatch,
    ModalityMismatch,
    SpacingMismatch,
    TransformerSegError,
    WrongNumberOfInputs,
)
from TransformerSegLib.panel.remedies import for_panel
from TransformerSegLib.panel.request import Request

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card
    from TransformerSegLib.inference.region import Box
    from TransformerSegLib.inference.volume import Volume

SAMPLED_VOXELS = 1_000_000
"""Of a volume, for its intensities; all of them are looked at when the run starts."""


class Verdict(Enum):
    """What the check of an input leads to.

    UNCHECKED: Python packages that the check needs are missing; Segment may be pressed, installs them and checks then.
    FITS: Segment may be pressed.
    CONFIRM: outside of what the model was trained on; the person may confirm (``Request.accept_mismatch``).
    REFUSED: cannot be segmented; Segment is disabled, ``error`` says why.
    """

    UNCHECKED = "unchecked"
    FITS = "fits"
    CONFIRM = "confirm"
    REFUSED = "refused"


@dataclass(frozen=True)
class InputCheck:
    """What was found.

    Attributes:
        line: for the line below the input: "1 mm MR, 35×50×36: fits".
        verdict: what follows.
        error: what, why, remedy, in the panel's words; None where it fits.
        suggests_region: the volume is much larger than what the model wants, and no region is chosen: offer
            ``Session.place_region``.
    """

    line: str
    verdict: Verdict
    error: TransformerSegError | None = None
    suggests_region: bool = False


def unchecked() -> InputCheck:
    """The answer while packages are missing that reading a model takes."""
    return InputCheck(_("The input is checked once the Python packages are installed"), Verdict.UNCHECKED)


def refused(error: TransformerSegError) -> InputCheck:
    """The answer where an error says that nothing can be segmented."""
    told = for_panel(error)
    return InputCheck(told.what, Verdict.REFUSED, told)


def check_inputs(request: Request, card: Card) -> InputCheck:
    """Look at the nodes of a request, without a copy of their voxels.

    Looks at headers and at a sample of the voxels: the run itself looks at every voxel.
    """
    missing = [
        channel.name
        for number, channel in enumerate(card.inputs)
        if number >= len(request.volumes) or request.volumes[number] is None
    ]
    if missing:
        return refused(_not_chosen(missing, card))
    try:
        return _checked(request, card)
    except TransformerSegError as error:
        return refused(error)


def _checked(request: Request, card: Card) -> InputCheck:
    from TransformerSegLib.inference.belonging import check_identities
    from TransformerSegLib.inference.checks import check_number_of_inputs
    from TransformerSegLib.inference.grids import check_grids
    from TransformerSegLib.scene.inputs import glance
    from TransformerSegLib.scene.target import check_target

    check_number_of_inputs(request.volumes, card)
    _check_chosen_once(request)
    volumes = [glance(node) for node in request.volumes]
    for volume in volumes:
        _check_sampled(volume)
    check_identities(volumes)
    if len({node.GetTransformNodeID() for node in request.volumes}) == 1:
        check_grids(volumes)
    if request.target is not None:
        check_target(request.target, request.volumes[0])
    box = region_box(request, volumes[0])
    findings = _findings(request, volumes, box, card)
    line = _line(volumes, box, findings, card)
    if not findings:
        return InputCheck(line, Verdict.FITS)
    too_large = any(isinstance(finding, FieldOfViewTooLarge) for finding in findings)
    error = for_panel(findings[0] if len(findings) == 1 else _as_one(findings))
    return InputCheck(line, Verdict.CONFIRM, error, suggests_region=too_large and box is None)


def region_box(request: Request, volume: Volume) -> Box | None:
    """The voxels of the first volume that are segmented; None: all.

    Raises:
        RegionRejected: the region misses the volume.
    """
    from TransformerSegLib.scene.regions import region_from_node

    if request.region is None:
        return None
    return region_from_node(request.region, request.volumes[0]).crop(volume).box


def _not_chosen(missing: Sequence[str], card: Card) -> WrongNumberOfInputs:
    names = ", ".join(missing)
    if len(card.inputs) == 1:
        what = _("No volume is chosen")
    else:
        what = _("No volume is chosen for {names}").format(names=names)
    return WrongNumberOfInputs(
        what,
        why=_("“{title}” needs: {names}").format(
            title=card.title, names=", ".join(channel.name for channel in card.inputs)
        ),
        remedy=_("Choose one volume for each of them"),
    )


def check_classes(request: Request, card: Card) -> None:
    """Raises:
    ClassUnknown: none is wanted, or one that the model does not have.
    """
    known = [segment_class.name for segment_class in card.classes]
    if request.classes is None:
        return
    unknown = [name for name in request.classes if name not in known]
    if unknown or not request.classes:
        raise ClassUnknown(
            _("“{title}” has no class {names}").format(
                title=card.title, names=", ".join(f"“{name}”" for name in unknown)
            )
            if unknown
            else _("No class is chosen"),
            why=_("it has these: {names}").format(names=", ".join(known)),
            remedy=_("Choose at least one of them"),
        )


def _check_sampled(volume: Volume) -> None:
    """Raises:
    InputRejected: no model can segment the volume.
    """
    from TransformerSegLib.inference.checks import check_volume

    if min(volume.array.shape) < 2:
        check_volume(volume)
    try:
        check_volume(_sampled(volume))
    except EmptyVolume:
        check_volume(volume)  # a small bright structure may lie between the samples


def _sampled(volume: Volume) -> Volume:
    step = math.ceil((volume.array.size / SAMPLED_VOXELS) ** (1 / 3))
    steps = (min(step, max(1, count // 2)) for count in volume.array.shape)
    return replace(volume, array=volume.array[tuple(slice(None, None, step) for step in steps)])


def _findings(request: Request, volumes: Sequence[Volume], box: Box | None, card: Card) -> list[InputMismatch]:
    """What does not fit: of the volumes as they are, but of their size as the region cuts it. (A region may hold
    neither air nor bone, and would not be known for CT.)"""
    from TransformerSegLib.inference.belonging import frame_of_reference_findings
    from TransformerSegLib.inference.checks import check_against_card

    findings: list[InputMismatch] = [*frame_of_reference_findings(volumes)]
    for volume in volumes:
        of_intensities = check_against_card([_sampled(volume)], card)
        of_header = check_against_card([replace(volume, modality=card.requirements.modality)], card)
        findings += [finding for finding in of_intensities if isinstance(finding, ModalityMismatch)]
        findings += [finding for finding in of_header if isinstance(finding, SpacingMismatch)]
    shown = volumes[0] if box is None else replace(volumes[0], array=volumes[0].array[box])
    of_size = check_against_card([replace(shown, modality=card.requirements.modality)], card)
    findings += [finding for finding in of_size if isinstance(finding, FieldOfViewMismatch)]
    return findings


def _check_chosen_once(request: Request) -> None:
    """Raises:
    SameVolumeTwice: a volume is chosen for two inputs.
    """
    from TransformerSegLib.inference.belonging import given_twice

    seen = set()
    for node in request.volumes:
        if node.GetID() in seen:
            raise given_twice(node.GetName())
        seen.add(node.GetID())


def _as_one(findings: Sequence[InputMismatch]) -> InputMismatch:
    return InputMismatch(
        "; ".join(finding.what for finding in findings),
        why="; ".join(dict.fromkeys(finding.why for finding in findings)),
        remedy="",
    )


def _line(volumes: Sequence[Volume], box: Box | None, findings: Sequence[InputMismatch], card: Card) -> str:
    kind = _kinds(volumes, card)
    if box is not None:
        extents = (spacing * (side.stop - side.start) for spacing, side in zip(volumes[0].spacing, box, strict=True))
        kind = _("{volume}, region of {size} mm").format(volume=kind, size=_times(f"{mm:.0f}" for mm in extents))
    if not findings:
        return _("{volume}: fits").format(volume=kind)
    wanted = _wanted(findings, card)
    frames = [finding.what for finding in findings if isinstance(finding, FrameOfReferenceMismatch)]
    if not wanted:
        return "; ".join(frames)
    if len(findings) == 1 and isinstance(findings[0], ModalityMismatch) and volumes[0].modality is not None:
        kind = volumes[0].modality
    line = _("{volume}, but this model was trained on {wanted}").format(volume=kind, wanted=wanted)
    return "; ".join([line, *frames])


def _kinds(volumes: Sequence[Volume], card: Card) -> str:
    """ "1 mm MR, 35×50×36"; of several inputs once, if they are alike."""
    kinds = [_kind(volume) for volume in volumes]
    if len(set(kinds)) == 1:
        return kinds[0] if len(kinds) == 1 else f"{len(kinds)} × {kinds[0]}"
    return "; ".join(f"{channel.name} {kind}" for channel, kind in zip(card.inputs, kinds, strict=True))


def _kind(volume: Volume) -> str:
    spacing = [f"{round(length, 2):g}" for length in volume.spacing]
    spoken = spacing[0] if len(set(spacing)) == 1 else _times(spacing)
    return f"{spoken} mm {volume.modality or ''}".rstrip() + f", {_times(volume.array.shape)}"


def _wanted(findings: Sequence[InputMismatch], card: Card) -> str:
    """What the model was trained on, of that which does not fit."""
    needs = card.requirements
    wanted = []
    if any(isinstance(finding, ModalityMismatch) for finding in findings):
        wanted.append(needs.modality)
    if any(isinstance(finding, SpacingMismatch) for finding in findings):
        wanted.append(_("voxels of {range} mm").format(range=_range(needs.spacing_mm)))
    if any(isinstance(finding, FieldOfViewMismatch) for finding in findings):
        wanted.append(_("volumes of {range} mm a side").format(range=_range(needs.field_of_view_mm)))
    return _(" and ").join(wanted)


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else _("{low} to {high}").format(low=f"{low:g}", high=f"{high:g}")


def _times(values: Sequence[object]) -> str:
    return "×".join(str(value) for value in values)
