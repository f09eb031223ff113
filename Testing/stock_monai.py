"""MONAI's own pipeline for a plan, from its own transforms and its own inferer: what the engine is held against."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.bundles.plan import Activation, Plan, PreparationStep, WindowPlan
from TransformerSegLib.inference.volume import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import Compose

KEY = "image"


def preprocessing(steps: Sequence[PreparationStep]) -> Compose:
    """``Compose`` of MONAI's transforms of the steps' names and arguments, on the key ``image``."""
    from monai import transforms

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Orientation announces a change of a default that does not concern RAS
        return transforms.Compose(
            [getattr(transforms, f"{type(step).__name__}d")(keys=KEY, **asdict(step)) for step in steps]
        )


def loaded(paths: Sequence[Path]) -> MetaTensor:
    """(C, I, J, K), read by MONAI."""
    from monai.transforms import LoadImage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LoadImage(reader="NibabelReader", ensure_channel_first=True)([str(path) for path in paths])


def as_metatensor(volumes: Sequence[Volume]) -> MetaTensor:
    """(C, I, J, K), as MONAI would have it had it read these volumes."""
    import torch
    from monai.data import MetaTensor

    array = np.stack([volume.array for volume in volumes]).astype(np.float32)
    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(volumes[0].affine))


def inferer(window: WindowPlan) -> SlidingWindowInferer:
    """MONAI's ``SlidingWindowInferer`` of the plan."""
    from monai.inferers import SlidingWindowInferer

    return SlidingWindowInferer(
        roi_size=window.roi_size,
        sw_batch_size=window.batch_size,
        overlap=window.overlap,
        mode=window.weighting.value,
        sigma_scale=window.sigma_scale,
        padding_mode=window.padding_mode,
        cval=window.cval,
    )


def segment(image: MetaTensor, plan: Plan, network: torch.nn.Module) -> np.ndarray:
    """The bundle's whole way: prepare, infer, activate, invert, discretise.

    Returns:
        Labels (I, J, K), the channels' numbers; or, with a threshold, masks (C, I, J, K).
    """
    import torch
    from monai import transforms

    output, prepare = plan.output, preprocessing(plan.preparation)
    discretise = transforms.AsDiscreted(keys="pred", argmax=output.threshold is None, threshold=output.threshold)
    invert = transforms.Invertd(keys="pred", transform=prepare, orig_keys=KEY, nearest_interp=output.nearest)
    activate = transforms.Activationsd(
        keys="pred",
        softmax=output.activation is Activation.SOFTMAX,
        sigmoid=output.activation is Activation.SIGMOID,
    )
    last = [discretise, invert] if output.restore_labels else [invert, discretise]
    data = prepare({KEY: image})
    with torch.inference_mode():
        data["pred"] = inferer(plan.window)(data[KEY][None], network)[0]
    found = transforms.Compose([activate, *last])(data)["pred"].as_tensor().numpy()
    return found[0].astype(np.int64) if output.threshold is None else found.astype(bool)
