"""``transformerseg evaluate``: a model against labels, by figures, pictures and a page."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.measured import rewrite_measured, with_measured
from TransformerSegLib.bundles.plan import WindowPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.cli import app
from TransformerSegLib.errors import OutputRejected, TrainingDataRejected
from TransformerSegLib.inference.progress import CancelToken
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.training.box_plots import draw_box_plots
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.evaluation import (
    Evaluation,
    MeasuredCase,
    measured_cases,
    with_margin,
)
from TransformerSegLib.training.evaluation_report import Subject, card_figures, findings
from TransformerSegLib.training.evaluation_session import PAGE, PLOTS, RESULTS, SUMMARY, evaluate_bundle
from TransformerSegLib.training.metrics import DICE, HD95, METRICS, VOLUME_ERROR_ML, Presence, measure
from TransformerSegLib.training.references import reference_masks
from TransformerSegLib.training.trained_cases import trained_on
from TransformerSegLib.training.worst_cases import KEPT, WorstCases, draw_worst_case, largest_error, worst_case

from bundle_factory import write_bundle
from four_images import CHANNELS, made_images, turned, write_tumour_bundle
from real_volumes import affine_of

THREE_CASES = Path(__file__).parents[1] / "data" / "hippocampus" / "training"
HARD = Path(__file__).parents[1] / "data" / "hippocampus" / "hippocampus_037.nii.gz"
HARD_LABEL = HARD.with_name("hippocampus_037_label.nii.gz")
COLORS = ((0.9, 0.45, 0.25), (0.25, 0.65, 0.9))


@pytest.fixture(scope="module")
def embedded() -> Bundle:
    return find_bundle()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command's output on the three cases, and beside it the model that it was run with, and what it said."""
    place = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(find_bundle().folder, place / "model")
    arguments = ["evaluate", place / "model", "--data", THREE_CASES, "--output", place / "out", "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--write-card"], catch_exceptions=False)
    (place / "said.txt").write_text(result.stdout, encoding="utf-8")
    assert result.exit_code == 0
    return place


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / RESULTS).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def block(bundle: Bundle, *, shift: int = 0, name: str = "block", spacing: float = 1.0) -> MeasuredCase:
    """A made case of two classes; the second one was found ``shift`` voxels too far along the first axis."""
    definitions = bundle.card.classes
    reference = np.zeros((20, 22, 24), np.uint8)
    reference[4:9, 6:12, 8:16], reference[9:14, 6:12, 8:16] = 1, 2
    found = np.where(reference == 1, reference, 0)
    found[np.roll(reference == 2, shift, 0) & (reference != 1)] = 2
    affine = np.diag([spacing, 1, 1, 1])
    segments = tuple(Segment(each, 0, 1.0) for each in definitions)
    segmentation = Segmentation((found,), affine, segments, name, {})
    masks = {each.name: reference == each.label for each in definitions}
    figures = {each.name: measure(found == each.label, masks[each.name], (spacing, 1, 1)) for each in definitions}
    return MeasuredCase(name, Volume(reference * 10, affine, name), segmentation, masks, figures)


def evaluation_of(cases: Sequence[MeasuredCase]) -> Evaluation:
    return Evaluation(tuple(cases[0].figures), {case.name: case.figures for case in cases})


def test_the_table_holds_one_line_a_case_and_class_as_the_engine_segments_them(evaluated: Path, embedded: Bundle):
    table = rows(evaluated / "out")
    assert [(row["case"], row["class"]) for row in table] == [
        (f"hippocampus_{number}", definition.name)
        for number in ("150", "243", "380")
        for definition in embedded.card.classes
    ]
    volume = read_volume(THREE_CASES / "imagesTr" / "hippocampus_243.nii.gz")
    drawn = read_volume(THREE_CASES / "labelsTr" / "hippocampus_243.nii.gz").array
    segmentation = Segmenter(embedded, "cpu").segment([volume])
    for row, segment in zip(table[2:4], segmentation.segments, strict=True):
        figures = measure(segmentation.mask(segment), drawn == segment.definition.label, volume.spacing)
        assert row["presence"] == "in both"
        for metric in METRICS:
            assert float(row[metric.key]) == pytest.approx(figures.value(metric), abs=1e-5)


def test_the_summary_is_the_mean_of_the_table(evaluated: Path, embedded: Bundle):
    summary, table = json.loads((evaluated / "out" / SUMMARY).read_text(encoding="utf-8")), rows(evaluated / "out")
    assert (summary["cases"], summary["margin_voxels"]) == (3, 0)
    assert summary["weights_sha256"] == embedded.weights_sha256
    for name, figures in summary["classes"].items():
        values = [float(row[DICE.key]) for row in table if row["class"] == name]
        assert figures["dice"]["mean"] == pytest.approx(np.mean(values), abs=1e-5)
        assert figures["dice"]["low"] <= figures["dice"]["mean"] <= figures["dice"]["high"]
        assert figures["cases"] == {"in both": 3, "missed": 0, "found though absent": 0, "absent in both": 0}


def test_the_page_begins_with_where_the_model_fails_and_shows_pictures_that_are_there(evaluated: Path):
    from matplotlib.image import imread

    page = (evaluated / "out" / PAGE).read_text(encoding="utf-8")
    assert page.index("Worst case: **") < page.index("| class |")
    assert "bootstrap over cases" in page
    shown = [line.partition("](")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert shown == [PLOTS, "worst_cases/1.png", "worst_cases/2.png", "worst_cases/3.png"]
    for picture in shown:
        assert imread(evaluated / "out" / picture).std() > 0.05


def test_cases_that_the_model_was_trained_on_are_told(evaluated: Path, embedded: Bundle):
    listed = json.loads((embedded.folder / "training" / "data_list.json").read_text(encoding="utf-8"))["training"]
    trained = {Path(entry["image"]).name.removesuffix(".nii.gz") for entry in listed}
    seen = [name for name in ("hippocampus_150", "hippocampus_243", "hippocampus_380") if name in trained]
    assert seen
    assert json.loads((evaluated / "out" / SUMMARY).read_text(encoding="utf-8"))["trained_on"] == seen
    assert f"{len(seen)} of the 3 cases are in the model's training list" in (evaluated / "out" / PAGE).read_text(
        "utf-8"
    )


def test_every_case_is_a_line_with_the_time_left(evaluated: Path):
    lines = (evaluated / "said.txt").read_text(encoding="utf-8").splitlines()
    told = [line for line in lines if line.startswith(("1/3 hipp", "2/3 hipp", "3/3 hipp"))]
    assert len(told) == 3
    assert all(line.endswith(" left") for line in told)


def test_the_card_says_the_new_figures_and_on_what_and_keeps_all_else(evaluated: Path, embedded: Bundle):
    card = read_bundle(evaluated / "model").card
    summary = json.loads((evaluated / "out" / SUMMARY).read_text(encoding="utf-8"))
    for name, dice in card.dice.items():
        assert dice == pytest.approx(summary["classes"][name]["dice"]["mean"], abs=5e-4)
        assert set(card.figures[name]) == {metric.label for metric in METRICS}
    assert card.dice_data.startswith("3 cases of ")
    same = {"dice": {}, "dice_data": "", "figures": {}, "name": ""}
    assert card.model_copy(update=same) == embedded.card.model_copy(update=same)
    document = (evaluated / "model" / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"Dice: {card.dice_data}." in document
    assert embedded.card.dice_data not in document
    assert document.count("| class |") == 2  # of the table of classes, and of the one of figures
    assert embedded.card.limits[0] in document


def test_an_evaluation_is_never_overwritten_and_nothing_is_measured_for_it(evaluated: Path, embedded: Bundle):
    before = (evaluated / "out" / PAGE).read_bytes()
    with pytest.raises(OutputRejected, match="never overwritten"):
        evaluate_bundle(embedded, read_data(THREE_CASES, validation=0.0), evaluated / "out", "cpu", pytest.fail)
    assert (evaluated / "out" / PAGE).read_bytes() == before


def test_a_cancelled_evaluation_leaves_nothing(tmp_path: Path, embedded: Bundle):
    from TransformerSegLib.errors import Cancelled

    token = CancelToken()
    data, output = read_data(THREE_CASES, validation=0.0), tmp_path / "out"

    def cancel_after_the_first(line: str) -> None:
        if line.startswith("1/3"):
            token.cancel()

    with pytest.raises(Cancelled):
        evaluate_bundle(embedded, data, output, "cpu", cancel_after_the_first, cancel=token)
    assert list(tmp_path.iterdir()) == []


def test_a_case_with_labels_on_another_grid_is_refused_before_the_first_is_segmented(tmp_path: Path, embedded: Bundle):
    shutil.copytree(THREE_CASES, tmp_path / "data")
    shutil.copy(HARD_LABEL, tmp_path / "data" / "labelsTr" / "hippocampus_380.nii.gz")
    with pytest.raises(TrainingDataRejected, match="different grids"):
        evaluate_bundle(embedded, read_data(tmp_path / "data", validation=0.0), tmp_path / "out", "cpu", pytest.fail)


def test_labels_of_no_class_of_the_model_are_refused(embedded: Bundle):
    labels = np.full((4, 4, 4), 7, np.uint8)
    with pytest.raises(TrainingDataRejected, match="holds the labels 7"):
        reference_masks(embedded, labels, "liver")


def test_a_margin_repeats_the_border_and_moves_no_voxel():
    volume = read_volume(HARD)
    wider = with_margin(volume, 6)
    np.testing.assert_array_equal(wider.array[6:-6, 6:-6, 6:-6], volume.array)
    assert (wider.array[:6] == wider.array[6]).all()
    assert (wider.array[..., -6:] == wider.array[..., -7:-6]).all()
    np.testing.assert_allclose(wider.affine @ [6, 6, 6, 1], volume.affine @ [0, 0, 0, 1])


def test_with_a_margin_the_model_sees_more_and_the_reference_is_where_it_was(embedded: Bundle):
    case = Case((HARD,), HARD_LABEL)
    (plain,), (wide,) = (list(measured_cases(embedded, [case], margin=margin)) for margin in (0, 6))
    assert wide.image.array.shape == tuple(size + 12 for size in plain.image.array.shape)
    for name, figures in wide.figures.items():
        assert figures.reference_ml == plain.figures[name].reference_ml
        assert figures.dice != plain.figures[name].dice
        assert figures.dice > 0.75


def test_overlapping_regions_of_several_inputs_are_compared_with_the_parts_that_brats_labels_hold(tmp_path: Path):
    bundle = read_bundle(write_tumour_bundle(tmp_path / "tumour", WindowPlan((64, 32, 32))))
    images = [replace(image, array=image.array[30:70, 30:66, 2:18].copy()) for image in made_images()]
    labels = np.zeros(images[0].array.shape, np.uint8)
    labels[10:30, 10:30, 4:12], labels[14:24, 14:24, 4:12], labels[16:20, 16:20, 6:9] = 2, 1, 4
    paths = [save(tmp_path / f"case-{image.name}.nii.gz", image.array, image.affine) for image in images]
    case = Case(tuple(paths), save(tmp_path / "labels.nii.gz", labels, images[0].affine), "case")
    (measured,) = measured_cases(bundle, [case])
    assert len(paths) == len(CHANNELS)
    expected = {"Tumour core": [1, 4], "Whole tumour": [1, 2, 4], "Enhancing tumour": [4]}
    assert list(measured.reference) == list(REGIONS)
    for name, parts in expected.items():
        np.testing.assert_array_equal(measured.reference[name], np.isin(labels, parts))
    segmentation = Segmenter(bundle, "cpu").segment([read_volume(path) for path in paths])
    for segment in segmentation.segments:
        expected_dice = measure(segmentation.mask(segment), measured.reference[segment.definition.name], (1, 1, 1)).dice
        assert measured.figures[segment.definition.name].dice == expected_dice
    assert len(worst_case(measured).views) == 3


@pytest.mark.parametrize("architecture", ["SwinUnet"])
def test_networks_of_slices_are_evaluated_like_others(tmp_path: Path, architecture: str):
    bundle = read_bundle(write_bundle(tmp_path / "slices", architecture=architecture))
    (measured,) = measured_cases(bundle, [Case((HARD,), HARD_LABEL)])
    segmentation = Segmenter(bundle, "cpu").segment([read_volume(HARD)])
    np.testing.assert_array_equal(measured.segmentation.layers[0], segmentation.layers[0])
    assert {figures.presence for figures in measured.figures.values()} <= {Presence.BOTH, Presence.MISSED}


def test_the_worst_cases_are_those_with_the_lowest_dice_of_a_class(embedded: Bundle):
    cases = [block(embedded, shift=shift, name=f"shifted by {shift}") for shift in (1, 4, 0, 3, 2, 5)]
    worst = WorstCases()
    for case in cases:
        worst.offer(case)
    names = [f"shifted by {shift}" for shift in (5, 4, 3, 2, 1, 0)]
    assert evaluation_of(cases).worst_first() == names
    assert [case.name for case in worst] == names[:KEPT]


def test_slices_go_through_the_largest_error_and_not_through_the_thin_one():
    error = np.zeros((30, 30, 30), bool)
    error[2:28, 2:28, 3] = True
    error[20:26, 20:26, 16:22] = True
    at = largest_error(error, (1.0, 1.0, 1.0))
    assert all(20 <= index < 26 for index in at[:2])
    assert 16 <= at[2] < 22


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
def test_a_picture_is_the_same_however_the_voxels_are_stored(
    embedded: Bundle, order: tuple[int, int, int], flips: tuple[int, int, int]
):
    case = block(embedded, shift=3, spacing=2.5)
    volume = replace(case.image, affine=affine_of((2.5, 1.0, 1.0)))
    case = replace(case, image=volume)

    def stored_otherwise(array: np.ndarray) -> np.ndarray:
        return turned(replace(volume, array=array), order, flips).array

    other = replace(
        case,
        image=turned(volume, order, flips),
        segmentation=replace(case.segmentation, layers=(stored_otherwise(case.segmentation.layers[0]),)),
        reference={name: stored_otherwise(mask) for name, mask in case.reference.items()},
    )
    for view, same in zip(worst_case(case).views, worst_case(other).views, strict=True):
        for field in ("gray", "found", "reference"):
            np.testing.assert_array_equal(getattr(view, field), getattr(same, field))
        assert view.extent == pytest.approx(same.extent)
        assert view.error == pytest.approx(same.error)


def test_a_picture_shows_the_patients_right_on_the_left_and_the_front_above(embedded: Bundle):
    case = block(embedded, shift=3)
    axial = worst_case(case).views[0]
    columns = np.flatnonzero(axial.reference[1].any(axis=0))
    other = np.flatnonzero(axial.reference[0].any(axis=0))
    assert axial.direction.edges == ("R", "L", "A", "P")
    assert columns.max() < other.min()  # the second class lies at higher R, which is further left
    left, right, bottom, top = axial.extent
    assert left <= axial.error[0] <= right
    assert bottom <= axial.error[1] <= top


def test_missed_and_false_classes_are_told_first_and_their_distances_are_left_out(embedded: Bundle):
    good, other = block(embedded, name="good"), block(embedded, shift=1, name="other")
    name = embedded.card.classes[1].name
    nothing = np.zeros_like(good.reference[name])
    missed = {**good.figures, name: measure(nothing, good.reference[name], (1, 1, 1))}
    false = {**good.figures, name: measure(good.reference[name], nothing, (1, 1, 1))}
    evaluation = Evaluation(
        tuple(good.figures), {"good": good.figures, "other": other.figures, "missed": missed, "false": false}
    )
    assert evaluation.estimate(HD95, name).cases == 2
    assert evaluation.estimate(DICE, name).cases == evaluation.estimate(VOLUME_ERROR_ML, name).cases == 4
    subject = Subject(embedded.card, "", "made cases", 0, (), (), {})
    told = " ".join(findings(evaluation, subject))
    assert f"**{name}** was missed in 1 of the 3 cases that have it" in told
    assert f"**{name}** was found in 1 of the 1 cases that do not have it" in told
    assert set(evaluation.worst_first()[:2]) == {"missed", "false"}


def test_names_that_look_like_formulas_are_drawn_and_not_read(embedded: Bundle, tmp_path: Path):
    """A picture that cannot be drawn would take all that was measured with it."""
    made = block(embedded, shift=1, name="$c_{1$ 頭")
    evaluation = evaluation_of([made, block(embedded, shift=2)])
    draw_box_plots(tmp_path / "plots.png", evaluation, COLORS, "a $x_{$ b", "$y_{$")
    draw_worst_case(tmp_path / "worst.png", worst_case(made), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plots.png", "worst.png"]


def test_files_of_one_name_are_told_apart_by_their_folders_in_the_training_list(embedded: Bundle, tmp_path: Path):
    definition = tmp_path / "training"
    definition.mkdir()
    listed = [{"image": f"{patient}/T1.nii.gz", "label": f"{patient}/seg.nii.gz"} for patient in ("p1", "p2")]
    (definition / "data_list.json").write_text(json.dumps({"training": listed}), encoding="utf-8")
    cases = [Case(tmp_path / patient / "T1.nii.gz", name=patient) for patient in ("p2", "p3")]
    assert trained_on(replace(embedded, folder=tmp_path), cases) == ("p2",)


def test_classes_of_other_numbers_are_refused_before_they_are_measured_as_others(embedded: Bundle, tmp_path: Path):
    first, second = (definition.name for definition in embedded.card.classes)
    shutil.copytree(THREE_CASES, tmp_path / "data")
    described = json.dumps({"labels": {"0": "background", "1": second, "2": first}})
    (tmp_path / "data" / "dataset.json").write_text(described, encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match=f"“{second}” has the label 1 in the data, and 2 in the model"):
        evaluate_bundle(embedded, read_data(tmp_path / "data", validation=0), tmp_path / "out", "cpu", print)


def test_a_card_keeps_its_figures_where_nothing_was_measured(tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    shutil.copytree(find_bundle().folder, tmp_path / "model")
    weights = tmp_path / "model" / "models" / "model.safetensors"
    blind = load_file(weights)
    blind["out.conv.conv.bias"][0] = 1000  # it sees nothing but background
    save_file(blind, weights)
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        array = read_volume(HARD).array if kind == "images" else np.zeros_like(read_volume(HARD_LABEL).array)
        save(tmp_path / "data" / kind / "case.nii.gz", array, np.eye(4))
    metadata = tmp_path / "model" / "configs" / "metadata.json"
    before, said = metadata.read_bytes(), []
    data = read_data(tmp_path / "data", validation=0)
    evaluate_bundle(read_bundle(tmp_path / "model"), data, tmp_path / "out", "cpu", said.append, write_card=True)
    assert metadata.read_bytes() == before
    assert "No class is in any reference, and none was found" in (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    assert any("stays as it was" in line for line in said)


def test_a_bias_is_told_only_where_it_is_more_than_chance(embedded: Bundle):
    name = embedded.card.classes[0].name
    subject = Subject(embedded.card, "", "made cases", 0, (), (), {})

    def told(errors: Sequence[float]) -> str:
        figures = block(embedded).figures
        cases = {
            str(number): {**figures, name: replace(figures[name], volume_error_percent=error)}
            for number, error in enumerate(errors)
        }
        return " ".join(findings(Evaluation(tuple(figures), cases), subject))

    assert f"**{name}** is found too small: by −5.0 [" in told([-4.0, -5.0, -6.0, -5.5, -4.5])
    assert "is found too" not in told([-4.0, 5.0, 3.0, -5.5, 1.0])


def test_figures_in_a_document_of_others_are_added_once_and_then_replaced(tmp_path: Path):
    folder = write_bundle(tmp_path / "model")
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text("# A model\n\nBy somebody else.\n", encoding="utf-8")
    metadata = folder / "configs" / "metadata.json"
    before = json.loads(metadata.read_text(encoding="utf-8"))
    for dice, cases in ((0.5, "4 cases"), (0.75, "5 cases")):
        card = read_bundle(folder).card
        rewrite_measured(folder, card, with_measured(card, {"first": dice}, cases, {}))
    document = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert document.startswith("# A model\n\nBy somebody else.\n\n## Measured\n")
    assert document.count("Dice: ") == 1
    assert "Dice: 5 cases." in document
    after = json.loads(metadata.read_text(encoding="utf-8"))
    assert {**after, OWN_BLOCK: None} == {**before, OWN_BLOCK: None}
    assert read_bundle(folder).card.dice == {"first": 0.75}
    assert sorted(path.name for path in (folder / "configs").iterdir()) == ["inference.json", "metadata.json"]


def test_a_card_keeps_interval_and_number_of_cases_of_every_figure(embedded: Bundle):
    evaluation = evaluation_of([block(embedded, shift=shift, name=str(shift)) for shift in (1, 2, 3)])
    dice, figures = card_figures(evaluation)
    name = embedded.card.classes[1].name
    kept, mean = figures[name][HD95.label], evaluation.estimate(HD95, name)
    assert (kept.mean, kept.cases) == (pytest.approx(mean.mean, abs=0.01), 3)
    assert kept.low == pytest.approx(mean.low, abs=0.01)
    assert kept.in_words() == f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]"
    assert dice[name] == pytest.approx(evaluation.estimate(DICE, name).mean, abs=5e-4)


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path
