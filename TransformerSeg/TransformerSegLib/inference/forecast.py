"""How long a run will take, told before it starts. Loads neither torch nor weights."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.inference.devices import CPU
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.networks.architecture import WORKSPACE_BYTES, Architecture
from TransformerSegLib.networks.registry import configured

PRODUCTS, OPERATIONS_PER_BYTE = 1.5, 400.0
"""What a network costs on a CPU, in operations of a matrix product: so many for each of its own, which come in smaller
pieces, and so many for each byte of its activations, which go through memory. Fitted to six networks from 0.3 to 640
billion operations a window, of which each took between 0.6 and 1.8 times as long."""

FAST_PRODUCTS, FAST_OPERATIONS_PER_BYTE = 0.9, 100.0
"""The same of a network in its fast form: of five, each took between 0.7 and 1.6 times as long."""

SHARE_IN_BFLOAT16 = 0.7
"""Of an exact run's time, where the processor computes in bfloat16; measured on a Swin UNETR of 48 features."""

MATRIX_SIDE = 512
MEASURING_S = 0.05


def forecast_seconds(
    bundle: Bundle,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    device_name: str,
    seconds_per_window: float | None = None,
    preset: Preset = Preset.STANDARD,
) -> float | None:
    """How long the windows, or slices, of a run over a volume of this shape and place will take.

    Args:
        shape: (I, J, K) of the input, after it was cut to a region.
        affine: 4×4, index → RAS in mm.
        device_name: "cpu", "cuda:0", …; not "auto".
        seconds_per_window: as it was measured in an earlier exact run of this model on this device; None: not yet.
        preset: how much the windows overlap, and how each is computed. Where only the body is looked at, which takes
            the voxels to find, this is the most that it will take.

    Returns:
        seconds; without an earlier run only roughly, and for the CPU alone: None for other devices.

    Raises:
        VolumeTooSmall: the model cannot fill its windows from so few voxels.
    """
    windows = estimate(bundle, shape, affine, preset).windows * preset.passes(bundle.card)
    windows *= SHARE_IN_BFLOAT16 if preset.halves else 1
    if seconds_per_window is not None:
        return windows * seconds_per_window
    if device_name != CPU:
        return None
    network = configured(bundle.plan.network.architecture, bundle.plan.network.arguments)
    return windows * _operations(network, bundle.plan.window.size) / operations_per_second()


@cache
def operations_per_second() -> float:
    """What this computer's processor does in a matrix product, all its cores together; measured once, in a moment."""
    factor = np.random.default_rng(0).random((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    product = factor @ factor
    fastest, stop = float("inf"), time.perf_counter() + MEASURING_S
    while (started := time.perf_counter()) < stop:
        np.matmul(factor, factor, out=product)
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * MATRIX_SIDE**3 / fastest


def _operations(network: Architecture, roi_size: tuple[int, ...]) -> float:
    """In operations of a matrix product: what the forward pass over one window takes as much time as."""
    products, per_byte = PRODUCTS, OPERATIONS_PER_BYTE
    if network.has_fast_form:
        products, per_byte = FAST_PRODUCTS, FAST_OPERATIONS_PER_BYTE
    return products * network.operations(roi_size) + per_byte * (network.activation_bytes(roi_size) - WORKSPACE_BYTES)
