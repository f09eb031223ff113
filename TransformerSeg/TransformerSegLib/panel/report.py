"""The text that "Copy report" copies: for those who can mend what went wrong."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from TransformerSegLib import __version__
from TransformerSegLib.inference.parts import Part

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.panel.redaction import Redaction
    from TransformerSegLib.panel.request import Request

PACKAGES = ("torch", "monai", "numpy", "pydantic", "einops", "safetensors", "SimpleITK", "vtk")


def report_text(error: BaseException | None, facts: Sequence[str], trace: str, redaction: Redaction) -> str:
    """Versions, what was asked for, and what happened; without names.

    Args:
        error: None for a run that did not fail.
        facts: lines on model, input and options.
        trace: of an error that was raised in the worker, as text; else the error's own is taken.
    """
    lines = ["TransformerSeg report", *_versions(), *facts]
    if error is not None:
        happened = ["", "What happened:", *_told(error), "", "Where:", trace.strip() or _traceback(error)]
        lines.append(redaction.applied("\n".join(happened)))
    return "\n".join(lines) + "\n"


def facts_of(request: Request, bundle: Bundle | None) -> tuple[str, ...]:
    """Lines on model, input and options; geometry, but no names."""
    lines = [f"Model: {request.model}"]
    if bundle is not None:
        plan = bundle.plan
        lines = [
            f"Model: {bundle.card.name} {bundle.card.version}",
            f"Network: {plan.network.architecture}, {Part.of(plan.window).value} {_times(plan.window.size)}",
        ]
    lines += [f"Input {number}: {_geometry(node)}" for number, node in enumerate(request.volumes, 1)]
    lines.append(
        f"Device: {request.device}; preset: {request.preset.value}; mismatch accepted: {request.accept_mismatch}"
    )
    if request.region is not None:
        lines.append(f"Region: {_times(f'{mm:.1f}' for mm in request.region.GetSize())} mm")
    if request.classes is not None:
        lines.append(f"Classes: {len(request.classes)} chosen")
    lines.append(f"Target: {'a new segmentation' if request.target is None else 'an existing segmentation'}")
    return tuple(lines)


def weights_fact(bundle: Bundle | None) -> tuple[str, ...]:
    """A line on the model's weights: their SHA-256 where the worker came to it, so that the window never waits for
    it."""
    return () if bundle is None else (f"Weights: SHA-256 {bundle.known_sha256 or 'not computed yet'}",)


def _versions() -> list[str]:
    import slicer

    application = getattr(slicer, "app", None)
    slicer_version = getattr(application, "applicationVersion", None) or "none"
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [
        f"Time: {datetime.now(UTC).isoformat(timespec='seconds')}",
        f"TransformerSeg {__version__}, Slicer {slicer_version}, Python {platform.python_version()}",
        f"System: {platform.system()} {platform.release()}, {platform.machine()}",
        f"Packages: {packages}",
        *_devices(),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> list[str]:
    if "torch" not in sys.modules:
        return ["Devices: PyTorch is not loaded"]
    from TransformerSegLib.inference.devices import available_devices

    return [f"Device {device.name}: {device.title}, {_memory(device.free_bytes)}" for device in available_devices()]


def _memory(free_bytes: int | None) -> str:
    return "free memory unknown" if free_bytes is None else f"{free_bytes / 1e9:.1f} GB free"


def _geometry(node: object) -> str:
    image = None if node is None else node.GetImageData()
    if image is None:
        return "no voxels"
    transform = node.GetParentTransformNode()
    kind = (
        "no transform" if transform is None else "linear transform" if transform.IsLinear() else "non-linear transform"
    )
    spacing = _times(f"{mm:.3g}" for mm in node.GetSpacing())
    return (
        f"{_times(image.GetDimensions())} voxels of {spacing} mm, {image.GetScalarTypeAsString()} "
        f"in {image.GetNumberOfScalarComponents()} component(s), {_orientation(node)}, {kind}"
    )


def _orientation(node: object) -> str:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    directions = vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(directions)
    cosines = (f"{directions.GetElement(row, column):.3f}" for row in range(3) for column in range(3))
    return f"directions {' '.join(cosines)}"


def _told(error: BaseException) -> list[str]:
    """The error and those that led to it."""
    lines, seen = [], error
    while seen is not None:
        lines.append(f"{type(seen).__name__}: {seen}")
        seen = seen.__cause__
    return lines


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).strip()


def _times(values: Sequence[object]) -> str:
    return "×".join(str(value) for value in values)
