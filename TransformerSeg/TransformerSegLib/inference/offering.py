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
    return _why_not_on(preset, device_name) or (_why_not_with(bundle) if bundle else None)


def check_offered(preset: Preset, bundle: Bundle, device_name: str, unchecked: bool = False) -> None:
    """Args:
        device_name: as it was chosen, no longer "auto".
        unchecked: whether the model's card need not say that it passed the check.

    Raises:
        PresetUnavailable: see ``why_not``.
    """
    if not preset.halves:
        return
    reason = _why_not_on(preset, device_name) or (None if unchecked else _why_not_with(bundle))
    if reason is not None:
        raise PresetUnavailable(
            f"“{preset.title}” is not to be had here", why=reason, remedy=f"Choose “{Preset.STANDARD.title}”"
        )


def _why_not_on(preset: Preset, device_name: str) -> str | None:
    on_gpu = preset is Preset.FASTER_GPU
    if device_name != AUTO and not device_name.startswith(CUDA if on_gpu else CPU):
        return f"it is for {'NVIDIA’s GPUs' if on_gpu else 'the CPU'}, and another device is chosen"
    match gpu_computes_in_bfloat16(device_name) if on_gpu else computes_in_bfloat16():
        case None if on_gpu:
            return "whether this computer has a GPU that can do it is known after the first run, which loads PyTorch"
        case None:
            return "whether this computer's processor can do it is known after the first run, which loads PyTorch"
        case False if on_gpu:
            return "this computer has no GPU that computes in bfloat16 (NVIDIA's do since 2020)"
        case False:
            return f"this computer's processor lacks the instructions for it ({' or '.join(NAMES)})"
    return None


def _why_not_with(bundle: Bundle) -> str | None:
    """(The weights' digest is compared where it is known: a large file takes seconds to read.)"""
    if isinstance(bundle.plan.window, SlicePlan):
        return "it is for models that see windows of the volume, and this one sees slices"
    check = bundle.card.bfloat16
    if check is None:
        return "nobody has checked yet that this model gives the same results with 16 bits"
    if bundle.known_sha256 not in ("", check.weights_sha256):
        return "it was checked with other weights than the model has now"
    if not check.passed:
        from TransformerSegLib.bundles.card import ALIKE

        lowest = min(check.dice, key=check.dice.__getitem__)
        return f"with 16 bits the model finds “{lowest}” otherwise (Dice {check.dice[lowest]:.4f}, not {ALIKE})"
    return None
