"""What a run will take, told before it starts."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.inference.devices import AUTO, CPU
from TransformerSegLib.panel.checking import region_box
from TransformerSegLib.panel.phrases import counted_parts, duration
from TransformerSegLib.panel.request import Request
from TransformerSegLib.panel.settings import AUTO_DEVICE_USED, Settings, remembered_pace

if TYPE_CHECKING:
    import numpy as np

    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.memory import Estimate

NVIDIA_TOOL = "nvidia-smi"
"""Comes with NVIDIA's driver; that a graphics card can be used is not known before PyTorch is loaded."""


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        windows: how many there are; slices, where the model sees these.
        memory_bytes: of the computer's memory, at the peak.
        seconds: None where that cannot be told yet: a graphics card that was never used with this model.
        words: for the line below Segment: "27 windows, about 1.4 GB of memory, about 12 s on the CPU".
    """

    windows: int
    memory_bytes: int
    seconds: float | None
    words: str


def forecast_run(request: Request, bundle: Bundle, frames: int, settings: Settings) -> Forecast:
    """Forecast a request whose input was found good. Loads nothing.

    Args:
        frames: how many volumes are segmented, one after the other.

    Raises:
        TransformerSegError: the volume or the region is not what it was when it was checked.
    """
    from TransformerSegLib.inference.body import looks_for_body
    from TransformerSegLib.inference.forecast import forecast_seconds
    from TransformerSegLib.inference.memory import estimate
    from TransformerSegLib.inference.placement import Placement
    from TransformerSegLib.scene.inputs import glance

    shape, affine = _segmented_part(request)
    device = expected_device(request.device, settings)
    placement = Placement(device or CPU, device or CPU, bundle.plan.window.batch_size)
    needed = estimate(bundle, shape, affine, request.preset)
    pace = None if device is None else remembered_pace(settings, bundle, device)
    seconds = None if device is None else forecast_seconds(bundle, shape, affine, device, pace, request.preset)
    if seconds is not None:
        seconds *= frames
    memory = needed.on_cpu(placement)
    words = _words(needed, frames, memory, seconds, device)
    modality = glance(request.volumes[0]).modality or bundle.card.requirements.modality
    if looks_for_body(request.preset, bundle.plan.window, modality, request.region is not None):
        words = _("at most {words}").format(words=words)  # where the body is, only the voxels tell
    return Forecast(needed.windows, memory, seconds, words)


def expected_device(wanted: str, settings: Settings) -> str | None:
    """The name of the device that a run will most likely use; None where only PyTorch could tell."""
    if wanted != AUTO:
        return wanted
    if "torch" in sys.modules:
        from TransformerSegLib.inference.devices import choose_device

        return choose_device(wanted).name
    used = settings.value(AUTO_DEVICE_USED, None)
    if used:
        return str(used)
    return None if sys.platform == "darwin" or shutil.which(NVIDIA_TOOL) else CPU


def _segmented_part(request: Request) -> tuple[tuple[int, int, int], np.ndarray]:
    """Shape and affine of the first volume, cut to the region."""
    from TransformerSegLib.scene.inputs import glance

    volume = glance(request.volumes[0])
    box = region_box(request, volume)
    if box is None:
        return volume.array.shape, volume.affine
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return tuple(side.stop - side.start for side in box), affine


def _words(needed: Estimate, frames: int, memory: int, seconds: float | None, device: str | None) -> str:
    counted = counted_parts(needed.windows, needed.part)
    if frames > 1:
        counted = _("{frames} frames of {parts}").format(frames=frames, parts=counted)
    parts = [counted, _("about {size} of memory").format(size=data_size(memory))]
    where = _("the CPU") if device == CPU else device
    if seconds is not None:
        parts.append(_("about {time} on {device}").format(time=duration(seconds), device=where))
    elif device is not None:
        parts.append(_("on {device}").format(device=where))
    return ", ".join(parts)
