"""Where in a large image a patch comes from, for the training. Imported where training runs."""

from __future__ import annotations

import math

import torch
from monai.transforms import Randomizable, Transform

from TransformerSegLib.training.recipe import Recipe

REACH = 0.75
"""How far a region reaches from its centre, in sides of a patch: a patch that is turned and scaled finds all it shows
within, but for corners of the most turned ones."""

Centre = tuple[int, ...]


class RandomRegion(Randomizable, Transform):
    """Cuts out the surroundings of one voxel, which the patch will be taken from.

    Of {"image": (C, X, Y, Z), "label": (1 or 3, X, Y, Z)}: a share of ``recipe.labelled_share`` of the regions have
    their centre in a labelled voxel, of a class that is drawn first, so that small structures of a large image are seen
    as often as large ones (as nnU-Net oversamples the foreground: Isensee et al. 2021,
    https://doi.org/10.1038/s41592-020-01008-z, supplementary note 2); the others in any voxel. At the border a region
    is smaller, so that patches reach beyond it as those at inference may.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._share = recipe.labelled_share
        self._reach = [math.ceil(REACH * side) for side in recipe.patch]

    def randomize(self, label: torch.Tensor) -> Centre:
        """As many numbers are drawn whatever the label shows."""
        labelled, which_class, which_voxel = (self.R.random_sample() for _ in range(3))
        anywhere = tuple(int(self.R.randint(0, side)) for side in label.shape[1:])
        if labelled >= self._share:
            return anywhere
        return _of_a_class(label, which_class, which_voxel) or anywhere

    def __call__(self, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        centre = self.randomize(data["label"])
        part = tuple(
            slice(max(0, place - reach), place + reach) for place, reach in zip(centre, self._reach, strict=True)
        )
        return {**data, **{name: data[name][(slice(None), *part)] for name in ("image", "label")}}


def _of_a_class(label: torch.Tensor, which_class: float, which_voxel: float) -> Centre | None:
    """A voxel of one of the classes that are there; None where there is none.

    Args:
        label: (1, X, Y, Z), the number of a class, or (regions, X, Y, Z), each 0 or 1.
        which_class, which_voxel: 0 ≤ number < 1.
    """
    if len(label) > 1:
        present = [channel for channel in range(len(label)) if label[channel].any()]
        found = label[present[int(which_class * len(present))]] if present else None
    else:
        counts = torch.bincount(label.flatten().long())
        present = [number for number in counts.nonzero().flatten().tolist() if number]
        found = label[0] == present[int(which_class * len(present))] if present else None
    if found is None:
        return None
    voxels = found.flatten().nonzero().flatten()
    place, centre = int(voxels[int(which_voxel * len(voxels))]), []
    for side in reversed(found.shape):
        place, rest = divmod(place, side)
        centre.append(rest)
    return tuple(reversed(centre))
