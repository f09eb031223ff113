"""The labels of BraTS: what its files hold, and what is trained and shown.

Files hold parts that exclude each other: 1 necrosis (and what else of the core does not enhance), 2 oedema, and
enhancing tumour, which is 3 since 2023 and was 4 from 2017 to 2022. Trained are regions that contain one another
(Menze et al., "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)", IEEE TMI 34, 2015): tumour core is
necrosis and enhancing tumour, whole tumour is that and oedema. MONAI's ``ConvertToMultiChannelBasedOnBratsClasses``
makes the same of either.
"""

from __future__ import annotations

import numpy as np

from TransformerSegLib.errors import TrainingDataRejected

NECROSIS, OEDEMA = 1, 2
ENHANCING_SINCE_2023, ENHANCING_BEFORE = 3, 4
REGIONS = ("Tumour core", "Whole tumour", "Enhancing tumour")
"""In the order of the network's channels, which is that of the published networks."""
SHORT_NAMES = ("TC", "WT", "ET")
"""What ``REGIONS`` are called for short, in their order."""
OWN_PARTS = (NECROSIS, OEDEMA, ENHANCING_SINCE_2023)
"""What each of ``REGIONS`` holds beside the regions within it."""
OUTERMOST_FIRST = (OEDEMA, NECROSIS, ENHANCING_SINCE_2023)
"""The parts in the order in which drawn regions are laid one over the other, each under the label of its own part: of
what that gives, ``regions`` makes regions that contain one another, as they do in BraTS."""


def region_called(name: str) -> int | None:
    """Which of ``REGIONS`` has this name, in full (“Tumor core”, too) or for short; None where none has."""
    words = name.casefold().replace("tumor", "tumour")
    for place, names in enumerate(zip(REGIONS, SHORT_NAMES, strict=True)):
        if words in [name.casefold() for name in names]:
            return place
    return None


def enhancing_label(labels: np.ndarray, name: str) -> int:
    """The label of enhancing tumour in a file: 3 or 4.

    Args:
        labels: of any shape.
        name: of the file, for the error.

    Raises:
        TrainingDataRejected: there are other labels than those of BraTS, or 3 and 4 beside each other, of which then
            one is another part: tumour that does not enhance until 2016, a resection cavity in 2024.
    """
    values = set(np.unique(labels).tolist())
    if unknown := values - {0, NECROSIS, OEDEMA, ENHANCING_SINCE_2023, ENHANCING_BEFORE}:
        raise TrainingDataRejected(
            f"“{name}” holds the label {min(unknown):g}",
            why="BraTS has 0, 1, 2 and 3, or in older years 0, 1, 2 and 4",
            remedy="Relabel the file, or set “labels” in recipe.json to “exclusive”",
        )
    if {ENHANCING_SINCE_2023, ENHANCING_BEFORE} <= values:
        raise TrainingDataRejected(
            f"“{name}” holds the labels 3 and 4",
            why="one of them is enhancing tumour, and nothing tells which",
            remedy="Relabel the file as BraTS 2023 does: 1 necrosis, 2 oedema, 3 enhancing tumour",
        )
    return ENHANCING_BEFORE if ENHANCING_BEFORE in values else ENHANCING_SINCE_2023


def regions(labels: np.ndarray, name: str) -> np.ndarray:
    """Tumour core, whole tumour and enhancing tumour, of labels of either convention.

    Args:
        labels: (I, J, K), whole numbers of any type.
        name: of the file, for the error.

    Returns:
        (3, I, J, K) bool, in the order of ``REGIONS``.

    Raises:
        TrainingDataRejected: as ``enhancing_label``.
    """
    enhancing = labels == enhancing_label(labels, name)
    core = enhancing | (labels == NECROSIS)
    return np.stack([core, core | (labels == OEDEMA), enhancing])
