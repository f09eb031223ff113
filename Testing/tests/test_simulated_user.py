"""The users who measure the correction click where they say; and what their clicks do to real answers."""

from __future__ import annotations

import numpy as np
import pytest

from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.interaction.class_field import ClassField
from TransformerSegLib.interaction.click import Click
from TransformerSegLib.interaction.corrector import Corrector
from TransformerSegLib.interaction.kept_scores import ScoresOfFields
from TransformerSegLib.interaction.score_keeper import ScoreKeeper
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.simulated_user import Finding, IdealUser, SloppyUser

from real_volumes import TOTALSEGMENTATOR

HIPPOCAMPUS = TOTALSEGMENTATOR.parent / "hippocampus"


def truth_and_answer() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[2:9, 2:9, 2:9] = 1
    answer = truth.copy()
    answer[2:5, 2:5, 2:5] = 0  # 27 voxels too few
    answer[6:9, 10:12, 0:3] = 1  # 18 too many
    return truth, answer


def test_the_ideal_user_clicks_at_the_centre_of_the_largest_error():
    truth, answer = truth_and_answer()
    assert IdealUser().finding(answer, truth) == Finding((3, 3, 3), 1, 2.0)


def test_of_equal_errors_and_equal_depths_the_first_is_clicked():
    truth, answer = truth_and_answer()
    answer[2:5, 2:5, 2:5] = truth[2:5, 2:5, 2:5]
    answer[0:3, 10:12, 0:3] = 1
    assert IdealUser().finding(answer, truth) == Finding((0, 10, 0), 0, 1.0)


def test_who_finds_nothing_wrong_clicks_no_more():
    truth, _ = truth_and_answer()
    assert IdealUser().finding(truth, truth) is None
    assert SloppyUser(0).finding(truth, truth) is None


def test_the_sloppy_user_clicks_into_errors_all_over_and_again_the_same_with_the_same_seed():
    truth, answer = truth_and_answer()
    one, other = SloppyUser(1), SloppyUser(1)
    findings = [one.finding(answer, truth) for _ in range(40)]
    assert findings == [other.finding(answer, truth) for _ in range(40)]
    assert all(answer[finding.voxel] != truth[finding.voxel] == finding.truth for finding in findings)
    assert len(set(findings)) > 10
    assert {finding.truth for finding in findings} == {0, 1}


@pytest.mark.parametrize("name", ["037", "287"])
def test_five_clicks_take_away_more_of_a_real_answer_s_errors_than_the_clicked_voxels(name):
    bundle = read_bundle(resources_folder() / "Models" / "hippocampus_swin_unetr")
    keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
    volume = read_volume(HIPPOCAMPUS / f"hippocampus_{name}.nii.gz")
    truth = read_volume(HIPPOCAMPUS / f"hippocampus_{name}_label.nii.gz").array.astype(np.uint8)
    answer = Segmenter(bundle, "cpu").segment([volume], observer=keeper).layers[0]
    field = ClassField.of(answer, {0: 1, 1: 2})
    corrector = Corrector([field], volume.spacing, ScoresOfFields(keeper.kept()))
    wrong = [np.count_nonzero(answer != truth)]
    for _ in range(5):
        finding = IdealUser().finding(field.now, truth)
        number = finding.truth or int(field.now[finding.voxel])
        corrector.click(Click(finding.voxel, number - 1, belongs=finding.truth > 0))
        wrong.append(np.count_nonzero(field.now != truth))
    assert wrong[-1] < wrong[0] - 5
