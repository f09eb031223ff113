"""What clicks make of a model's answers to cases that it was not trained on, by simulated users."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.kept_scores import KeptScores, ScoresOfFields
from TransformerSegLib.interaction.neighbourhood import Spacing
from TransformerSegLib.interaction.refining import LearnedRefinement
from TransformerSegLib.interaction.score_keeper import ScoreKeeper
from TransformerSegLib.interaction.trained_refiner import SHIPPED as SHIPPED_REFINER
from TransformerSegLib.interaction.trained_refiner import read_refiner
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.click_curves import ByClicks, Correcting, Curves, curves, dice
from TransformerSegLib.training.simulated_user import Finding

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared" / "data" / "hippocampus"
SHIPPED = REPOSITORY / "Testing" / "data" / "hippocampus"
EMBEDDED = resources_folder() / "Models" / "hippocampus_swin_unetr"

OTHER_MODEL = "TRANSFORMERSEG_CLICKS_ON"
"""The environment's name for a bundle whose answers are corrected in place of the embedded model's."""

WORST_SHARE = 0.25


@dataclass(frozen=True, eq=False)
class Case:
    """One volume, segmented.

    Attributes:
        image: (I, J, K).
        spacing: of voxel centres along i, j and k, in mm.
        labels: (I, J, K), the model's.
        truth: likewise, drawn by people.
        kept: the model's scores.
    """

    image: np.ndarray
    spacing: Spacing
    labels: np.ndarray
    truth: np.ndarray
    kept: tuple[KeptScores, ...]


class Brush:
    """Paints a ball of the error's inscribed radius."""

    def __init__(self, case: Case) -> None:
        self.now = case.labels.copy()

    def put_right(self, finding: Finding) -> None:
        offsets = np.indices(self.now.shape) - np.reshape(finding.voxel, (3, 1, 1, 1))
        self.now[np.sqrt((offsets**2).sum(axis=0)) < finding.radius - 1e-6] = finding.truth
        self.now[finding.voxel] = finding.truth


def by_clicks(case: Case, refined: bool = False, with_scores: bool = True) -> ByClicks:
    classes = {number - 1: number for number in range(1, int(case.truth.max()) + 1)}
    field, refiner = ClassField.of(case.labels, classes), read_refiner(SHIPPED_REFINER)
    refine = LearnedRefinement(refiner.network, case.image, refiner.card.spacing_mm) if refined else None
    return ByClicks(Corrector([field], case.spacing, ScoresOfFields(case.kept) if with_scores else None, refine))


WAYS: dict[str, Callable[[Case], Correcting]] = {
    "brush": Brush,
    "kernel": by_clicks,
    "kernel, then learned step": partial(by_clicks, refined=True),
    "kernel, then learned step, of labels alone": partial(by_clicks, refined=True, with_scores=False),
}


def rows() -> Iterator[tuple]:
    """What, figure, nothing, and the others in words: of each way to correct, by each user."""
    bundle = read_bundle(Path(os.environ.get(OTHER_MODEL, EMBEDDED)))
    cases = list(_cases(bundle))
    what = f"{bundle.card.title}, {len(cases)} cases not trained on"
    alone = float(np.mean([dice(case.labels, case.truth) for case in cases]))
    yield f"{what}, the model alone: mean Dice in %", 100 * alone, None, ""
    for user, sloppy in (("", False), (", sloppy user", True)):
        for name, way in WAYS.items():
            found = curves([(way(case), case.truth) for case in cases], sloppy)
            row = f"{what}, {name}{user}: mean Dice in % after 5 clicks"
            yield row, 100 * found.dice[:, 5].mean(), None, _told(found)


def _cases(bundle: Bundle) -> Iterator[Case]:
    segmenter = Segmenter(bundle, "cpu", SegmentOptions(accept_mismatch=True))
    for image, truth in _files(bundle):
        volume, keeper = read_volume(image), ScoreKeeper(bundle.plan.output, bundle.card.classes)
        labels = segmenter.segment([volume], observer=keeper).layers[0]
        yield Case(volume.array, volume.spacing, labels, read_volume(truth).array.astype(np.uint8), keeper.kept())


def _files(bundle: Bundle) -> list[tuple[Path, Path]]:
    """Image and labels of the cases that the bundle's own record, or else the embedded model's, keeps out of training;
    where they are not at hand, those of the repository."""
    records = [folder / "training" / "data_list.json" for folder in (bundle.folder, EMBEDDED)]
    record = next(path for path in records if path.is_file())
    kept_out = json.loads(record.read_text(encoding="utf-8"))["validation"]
    files = [(SHARED / case["image"], SHARED / case["label"]) for case in kept_out]
    if all(path.is_file() for pair in files for path in pair):
        return files
    labels = sorted(SHIPPED.glob("*_label.nii.gz"))
    return [(label.with_name(label.name.replace("_label", "")), label) for label in labels]


def _told(found: Curves) -> str:
    """All else that is of interest."""
    figures = found.measured()
    worst = found.dice[:, 0].argsort()[: max(round(WORST_SHARE * len(found.dice)), 1)]
    return "; ".join(
        [
            ", ".join(f"{100 * value:.2f} after {clicks}" for clicks, value in figures.dice.items() if clicks),
            f"{figures.clicks} clicks to 0.90 ({figures.never} never)",
            f"{figures.worsening:.0%} of clicks lower it",
            f"the {len(worst)} that start worst: {100 * found.dice[worst, 5].mean():.2f} after 5",
            f"{np.percentile(found.milliseconds, 95):.0f} ms a click (95th percentile)",
        ]
    )
