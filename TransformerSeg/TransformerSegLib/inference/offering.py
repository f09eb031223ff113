"""Which presets a model can be run with on a device of this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import SlicePlan
from TransformerSegLib.errors import PresetUnavailable
from TransformerSegLib.inference.devices import AUTO, CPU
from TransformerSegLib.inference.instructions import NAMES, computes_in_bfloat16, gpu_computes_in_bfloat16
from TransformerSegLib.inference.presets import Preset

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle

CUDA = "cuda"
"""So the names of NVIDIA's GPUs begin."""


def why_not(preset: Preset, bundle: Bundle | None, device_name: str) -> str | None:
    """Why a preset is not to be had ("this computer's processor lacks …"); None where it is.

    Args:
        bundle: None where it cannot be read yet; then only the device counts.
        device_name: "cpu", "cuda:0", …, or "auto".
    """
    if not preset.halves:
        return None
    reason = _why_not_on(preset, device_name)
    if reason is not None or bundle is None:
        return reason
    return _why_not_of_slices(bundle) or _why_unchecked(bundle, bundle.known_sha256)


def is_known(preset: Preset, device_name: str) -> bool:
    """Whether anybody can tell yet what the device can do: of most, only PyTorch can, once it is loaded."""
    return not preset.halves or not _is_of_its_kind(preset, device_name) or _told(preset, device_name) is not None


def check_offered(preset: Preset, bundle: Bundle, device_name: str, unchecked: bool = False) -> None:
    """Args:
        device_name: as it was chosen, no longer "auto".
        unchecked: whether the model's card need not say that it passed the check.

    Raises:
        PresetUnavailable: see ``why_not``.
    """
    if not preset.halves:
        return
    reason = _why_not_on(preset, device_name) or _why_not_of_slices(bundle)
    if reason is None and not unchecked:
        reason = _why_unchecked(bundle, bundle.weights_sha256)
    if reason is not None:
        beside_cpu = preset is Preset.FASTER_CPU and not _is_of_its_kind(preset, device_name)
        remedy = "Choose the CPU as device (--device cpu)" if beside_cpu else f"Choose “{Preset.STANDARD.title}”"
        raise PresetUnavailable(f"“{preset.title}” is not to be had here", why=reason, remedy=remedy)


def _is_of_its_kind(preset: Preset, device_name: str) -> bool:
    return device_name == AUTO or device_name.startswith(CUDA if preset is Preset.FASTER_GPU else CPU)


def _told(preset: Preset, device_name: str) -> bool | None:
    """Whether the device computes in bfloat16; None where that is not known yet."""
    return gpu_computes_in_bfloat16(device_name) if preset is Preset.FASTER_GPU else computes_in_bfloat16()


def _why_not_on(preset: Preset, device_name: str) -> str | None:
    on_gpu = preset is Preset.FASTER_GPU
    if not _is_of_its_kind(preset, device_name):
        return f"it is for {'NVIDIA’s GPUs' if on_gpu else 'the CPU'}, and the device is {device_name}"
    match _told(preset, device_name):
        case None:
            what = "this computer has a GPU that" if on_gpu else "this computer's processor"
            return f"whether {what} can do it is known after the first run, which loads PyTorch"
        case False if on_gpu:
            return "this computer has no GPU that computes in bfloat16 (NVIDIA's do since 2020)"
        case False:
            return f"this computer's processor lacks the instructions for it ({' or '.join(NAMES)})"
    return None


def _why_not_of_slices(bundle: Bundle) -> str | None:
    if isinstance(bundle.plan.window, SlicePlan):
        return "it is for models that see windows of the volume, and this one sees slices"
    return None


def _why_unchecked(bundle: Bundle, weights_sha256: str) -> str | None:
    """Args:
    weights_sha256: of the model as it is; "" where nobody knows it yet.
    """
    check = bundle.card.bfloat16
    if check is None:
        return "nobody has checked yet that this model gives the same results with 16 bits"
    if weights_sha256 not in ("", check.weights_sha256):
        return "it was checked with other weights than the model has now"
    if left_out := check.left_out(bundle.card.classes):
        return f"nobody has checked yet that this model finds the same with 16 bits of: {', '.join(left_out)}"
    if not check.passed:
        from TransformerSegLib.bundles.card import ALIKE

        lowest = min(check.dice, key=check.dice.__getitem__)
        return f"with 16 bits the model finds “{lowest}” otherwise (Dice {check.dice[lowest]:.4f}, not {ALIKE})"
    return None
