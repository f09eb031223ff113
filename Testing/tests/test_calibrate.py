"""``transformerseg calibrate``: a model's temperature, and how true is what it says of its doubt, on its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from TransformerSegLib.bundles.layout import DESCRIPTION
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.cli import app
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.interaction.kept_scores import KeptScores
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.doubt_check import doubt_check, doubted_case

from example_segmentation import PROVENANCE, segment_class
from real_volumes import TOTALSEGMENTATOR

EMBEDDED = resources_folder() / "Models" / "hippocampus_swin_unetr"
HIPPOCAMPUS = TOTALSEGMENTATOR.parent / "hippocampus"
SHAPE = (40, 30, 30)
NAMES = ("Anterior", "Posterior")


def labelled_cases(folder: Path, names: Sequence[str]) -> Path:
    """Images and labels of these cases, in the order given and as often."""
    for part, ending in (("imagesTr", ""), ("labelsTr", "_label")):
        (folder / part).mkdir(parents=True)
        for number, name in enumerate(names):
            source = HIPPOCAMPUS / f"hippocampus_{name}{ending}.nii.gz"
            (folder / part / f"hippocampus_{number:03d}.nii.gz").symlink_to(source)
    return folder


def test_from_ten_cases_on_the_card_gets_a_scale_by_which_runs_then_predict_dice(tmp_path):
    bundle, data = tmp_path / "model", labelled_cases(tmp_path / "data", ("037", "287") * 5)
    random = np.random.default_rng(0)
    for number, path in enumerate(sorted((data / "imagesTr").iterdir())):
        image = nibabel.load(path)
        values = image.get_fdata()
        noisy = values + random.normal(0.0, 0.1 * number * values.std(), image.shape)
        path.unlink()
        nibabel.save(nibabel.Nifti1Image(noisy.astype(np.float32), image.affine), path)
    shutil.copytree(EMBEDDED, bundle)
    runner = CliRunner()
    done = runner.invoke(app, ["calibrate", str(bundle), "--data", str(data), "--write-card"])
    assert done.exit_code == 0, done.output
    card = read_bundle(bundle).card
    assert set(card.dice_scale.usual) == {"Anterior hippocampus", "Posterior hippocampus"}
    assert card.doubt.scaled
    assert card.doubt.predicted_dice == pytest.approx(card.doubt.true_dice, abs=1e-3)
    assert "its scale is fitted to these cases" in (bundle / DESCRIPTION).read_text(encoding="utf-8")
    told = []
    for number in range(10):
        case, report = data / "imagesTr" / f"hippocampus_{number:03d}.nii.gz", tmp_path / f"{number}.json"
        order = ["segment", str(case), "--model", str(bundle), "--output", str(tmp_path / f"{number}.nii.gz")]
        done = runner.invoke(app, [*order, "--report", str(report)])
        assert done.exit_code == 0, done.output
        told += [segment["expected_dice"] for segment in json.loads(report.read_text(encoding="utf-8"))["segments"]]
    assert np.mean(told) == pytest.approx(card.doubt.predicted_dice, abs=1e-3)


def test_the_card_gets_the_temperature_and_the_figures_once(tmp_path):
    bundle, data = tmp_path / "model", labelled_cases(tmp_path / "data", ("037", "287"))
    shutil.copytree(EMBEDDED, bundle)
    for _ in range(2):
        done = CliRunner().invoke(app, ["calibrate", str(bundle), "--data", str(data), "--write-card"])
        assert done.exit_code == 0, done.output
    card = read_bundle(bundle).card
    assert 1.0 < card.temperature < 3.0  # networks are too sure of themselves
    assert card.dice_scale is None  # two cases are too few for one
    check = card.doubt
    assert check.cases == 2
    assert check.weights_sha256 == read_bundle(bundle).weights_sha256
    assert 0.0 < check.calibration_error < check.calibration_error_uncalibrated
    assert abs(check.predicted_dice - check.true_dice) < 0.05
    assert (bundle / DESCRIPTION).read_text(encoding="utf-8").count("Doubt, at temperature") == 1
    assert check.in_words() in CliRunner().invoke(app, ["models", "show", str(bundle)]).output


def answer(truth: np.ndarray, *wrong: tuple[tuple[slice, slice, slice], float]) -> tuple[RunScores, Segmentation]:
    """An answer that is wrong in boxes, and leads there by so many logits only; elsewhere it is sure."""
    labels, lead = truth.copy(), np.full(SHAPE, np.inf, np.float32)
    for box, logits in wrong:
        labels[box] = np.where(truth[box] == 1, 2, 1)
        lead[box] = logits
    places = np.flatnonzero(np.isfinite(lead)).astype(np.uint32)
    best = np.stack([labels.reshape(-1)[places], truth.reshape(-1)[places]], axis=1).astype(np.uint8)
    scores = np.stack([np.zeros(len(places)), -lead.reshape(-1)[places]], axis=1).astype(np.float16)
    kept = KeptScores(SHAPE, 8.0, places, best, scores)
    whole = tuple(slice(0, size) for size in SHAPE)
    segments = tuple(Segment(segment_class(label, name), 0, 1.0) for label, name in enumerate(NAMES, start=1))
    segmentation = Segmentation((labels,), np.eye(4), segments, "Kopf", PROVENANCE)
    return RunScores(NAMES, True, whole, (kept,)), segmentation


def truth() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:20, 8:22, 8:22] = 1
    labels[20:35, 8:22, 8:22] = 2
    return labels


def reference(labels: np.ndarray) -> dict[str, np.ndarray]:
    return {name: labels == number for number, name in enumerate(NAMES, start=1)}


def checked(*answers):
    random = np.random.default_rng(0)
    cases = [doubted_case(*each, {}, reference(truth()), random) for each in answers]
    return doubt_check(cases, 1.0, [1.0] * len(cases), None, "boxes", "0" * 64)


def test_an_error_where_the_model_doubts_is_found_and_one_where_it_is_sure_is_not():
    box = np.s_[8:13, 9:14, 9:14]
    assert checked(answer(truth(), (box, 0.1))).errors_found == 1.0
    sure, doubted = answer(truth(), (box, np.inf)), answer(truth(), (np.s_[28:33, 9:12, 9:12], 0.1))
    elsewhere = (doubted[0], sure[1])
    assert checked(elsewhere).errors_found == 0.0
    assert checked(elsewhere, answer(truth(), (box, 0.1))).errors_found == 0.5


def test_a_model_that_doubts_more_where_it_is_worse_predicts_its_dice():
    sizes = (2, 6, 10, 13)
    found = checked(*(answer(truth(), (np.s_[5 : 5 + size, 8:22, 8:22], 0.1)) for size in sizes))
    assert found.dice_correlation > 0.9
    blind = [answer(truth(), (np.s_[5 : 5 + size, 8:22, 8:22], 8.0 * size)) for size in sizes]
    assert checked(*blind).dice_correlation < 0.5


def test_who_is_half_sure_and_always_wrong_has_a_calibration_error_of_a_half_there():
    everything = checked(answer(truth(), (np.s_[5:35, 8:22, 8:22], 0.0)))
    labels = answer(truth(), (np.s_[5:35, 8:22, 8:22], 0.0))[1].layers[0]
    random = np.random.default_rng(0)
    case = doubted_case(*answer(truth(), (np.s_[5:35, 8:22, 8:22], 0.0)), {}, reference(truth()), random)
    [(places, right)] = case.near
    inside = labels.reshape(-1)[places] > 0
    assert not right[inside].any()
    assert right[~inside].all()
    assert everything.calibration_error == pytest.approx(0.5 * inside.mean(), abs=1e-3)
    assert everything.true_dice == 0.0


def test_of_cases_without_anything_to_compare_the_figures_are_none():
    found = checked(answer(truth()))
    assert found.errors_found is None
    assert found.dice_correlation is None
    assert found.true_dice == 1.0
    assert "1 cases of boxes" not in found.in_words()
