"""What the official test code of TransUNet and Swin-Unet does with a volume: what the engine is held against.

Written after ``test_single_volume`` in their ``utils.py``: SciPy zooms, the network runs slice by slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import zoom

from TransformerSegLib.bundles.plan import Plan
from TransformerSegLib.inference.volume import Volume

from stock_monai import KEY, as_metatensor, preprocessing

if TYPE_CHECKING:
    import torch


def segment_slices(volumes: Sequence[Volume], plan: Plan, network: torch.nn.Module) -> np.ndarray:
    """The whole way: MONAI's preparation, the official slices, MONAI's way back to the volume's grid.

    Returns:
        Labels (I, J, K), the channels' numbers; or, with a threshold, masks (C, I, J, K).
    """
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Invertd

    prepare = preprocessing(plan.preparation)
    data = prepare({KEY: as_metatensor(volumes)})
    image = data[KEY].as_tensor().numpy()
    with torch.inference_mode():
        slices = [_labels(image[:, row], plan, network) for row in range(image.shape[1])]
    data["pred"] = MetaTensor(torch.from_numpy(np.stack(slices, axis=1)).float())
    invert = Invertd(keys="pred", transform=prepare, orig_keys=KEY, nearest_interp=True)
    found = invert(data)["pred"].as_tensor().numpy().astype(np.int64)
    return found[0] if plan.output.threshold is None else found.astype(bool)


def _labels(image: np.ndarray, plan: Plan, network: torch.nn.Module) -> np.ndarray:
    """(C, H, W) → (1, H, W) labels, or (classes, H, W) masks."""
    import torch

    own, wanted = image.shape[1:], plan.window.size
    if own != wanted:
        image = _zoomed(image, wanted, order=3)
    scores = network(torch.from_numpy(image)[None])[0]
    if plan.output.threshold is None:
        labels = scores.softmax(dim=0).argmax(dim=0, keepdim=True).numpy()
    else:
        labels = (scores.sigmoid() >= plan.output.threshold).long().numpy()
    return labels if own == wanted else _zoomed(labels, own, order=0)


def _zoomed(planes: np.ndarray, size: tuple[int, int], order: int) -> np.ndarray:
    factors = size[0] / planes.shape[1], size[1] / planes.shape[2]
    return np.stack([zoom(plane, factors, order=order) for plane in planes])
