"""A data set is looked at before it is trained on: every fault is told, at once, and shown."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import nibabel
import numpy as np
import pytest

from TransformerSegLib import cli
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.commands import check_data as module
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.case_check import check_case
from TransformerSegLib.training.case_slices import slice_views
from TransformerSegLib.training.cases import Case, ClassName, DataList
from TransformerSegLib.training.contact_sheet import DOTS_PER_INCH, worst_first, write_contact_sheet
from TransformerSegLib.training.data_check import check_data
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.data_report import write_data_report

DATA = Path(__file__).parents[1] / "data" / "hippocampus" / "training"
SOURCES = ("hippocampus_150", "hippocampus_243", "hippocampus_380")
CLASSES = {"labels": {"background": 0, "Anterior": 1, "Posterior": 2}, "name": "Eight"}
ANTERIOR, POSTERIOR = (ClassName(n, name, color(n - 1)) for n, name in ((1, "Anterior"), (2, "Posterior")))

Change = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def change(path: Path, made: Change) -> None:
    """Save a volume anew with other voxels or another affine."""
    image = nibabel.load(path)
    array, affine = made(np.asanyarray(image.dataobj).copy(), image.affine.copy())
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    """Eight cases, made of three: with other grey values each."""
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(8):
            source = DATA / kind / f"{SOURCES[number % 3]}.nii.gz"
            shutil.copyfile(source, tmp_path / "data" / kind / f"c{number}.nii.gz")
        for number in range(8) if kind == "imagesTr" else ():
            path = tmp_path / "data" / kind / f"c{number}.nii.gz"
            change(path, lambda a, f, n=number: (a.astype(np.float32) / a.max() * (300 + n), f))
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(CLASSES), encoding="utf-8")
    return tmp_path / "data"


def image(folder: Path, number: int) -> Path:
    return folder / "imagesTr" / f"c{number}.nii.gz"


def label(folder: Path, number: int) -> Path:
    return folder / "labelsTr" / f"c{number}.nii.gz"


def checked(folder: Path, validation: float = 0):
    return check_data(read_data(folder, validation=validation))


def test_sound_data_have_neither_faults_nor_remarks(eight: Path):
    told = []
    check = check_data(read_data(eight), on_case=lambda done, total: told.append((done, total)))
    assert (check.faults, check.faulty, check.unusual, check.remarks) == ((), (), (), ())
    assert told == [(done, 8) for done in range(1, 9)]
    case = next(case for case in check.cases if case.case.name == "c0")
    volume, labels = read_volume(image(eight, 0)), read_volume(label(eight, 0))
    assert (case.size, case.spacing) == (volume.array.shape, volume.spacing)
    for each in (ANTERIOR, POSTERIOR):
        assert case.volumes_ml[each.label] == pytest.approx((labels.array == each.label).sum() / 1000)
    check.refuse()


def moved(array: np.ndarray, affine: np.ndarray):
    affine[:3, 3] += (3.0, 0.0, 4.0)
    return array, affine


def seven(array: np.ndarray, affine: np.ndarray):
    array[array == 2] = 7
    return array, affine


def not_finite(array: np.ndarray, affine: np.ndarray):
    array[3, 4, 5] = np.nan
    return array, affine


def halves(array: np.ndarray, affine: np.ndarray):
    return array / 2, affine


def test_all_faults_of_all_cases_are_told_at_once(eight: Path):
    change(label(eight, 1), moved)
    change(label(eight, 2), seven)
    change(image(eight, 3), not_finite)
    change(label(eight, 3), lambda a, f: (a[:-1], f))
    image(eight, 4).write_bytes(image(eight, 4).read_bytes()[:500])
    change(label(eight, 5), halves)
    check = checked(eight)
    found = {case.case.name: [fault.what for fault in case.faults] for case in check.faulty}
    assert list(found) == ["c1", "c2", "c3", "c4", "c5"]
    assert "different grids" in found["c1"][0]
    assert "5 mm apart" in check.cases[1].faults[0].why
    assert found["c2"] == ["“c2.nii.gz” holds the labels 0, 1, 7"]
    assert "NaN" in found["c3"][0]
    assert "different grids" in found["c3"][1]
    assert "cannot be read" in found["c4"][0]
    assert "holds the labels 0, 0.5, 1" in found["c5"][0]
    with pytest.raises(TrainingDataRejected, match="different grids") as raised:
        check.refuse()
    assert len(raised.value.details) == 5
    assert all(fault.remedy for case in check.faulty for fault in case.faults)


def empty_of_posterior(array: np.ndarray, affine: np.ndarray):
    array[array == 2] = 0
    return array, affine


def test_a_class_that_no_case_shows_is_a_fault_and_one_missing_in_a_case_is_told(eight: Path):
    change(label(eight, 6), empty_of_posterior)
    assert checked(eight).cases[6].remarks[0] == "Without Posterior"
    for number in range(8):
        change(label(eight, number), empty_of_posterior)
    (fault,) = checked(eight).faults
    assert fault.what == "No case shows “Posterior” (label 2)"


def test_classes_are_those_of_the_model_where_one_is_trained(eight: Path):
    check = check_data(read_data(eight, validation=0), [ANTERIOR])
    assert all("holds the labels 0, 1, 2" in case.faults[0].what for case in check.cases)


def test_one_image_under_two_names_is_told_and_a_fault_across_the_two_sides(eight: Path):
    shutil.copyfile(image(eight, 0), image(eight, 7))
    shutil.copyfile(label(eight, 0), label(eight, 7))
    within = checked(eight)
    assert within.faulty == ()
    assert within.cases[7].remarks == ("“c7” has the same voxels as “c0”",)
    data = within.data
    across = check_data(replace(data, training=data.training[:4], validation=data.training[4:]))
    assert [fault.what for fault in across.cases[7].faults] == ["“c7” has the same voxels as “c0”"]
    change(label(eight, 7), empty_of_posterior)
    assert "their labels differ" in checked(eight).cases[7].faults[0].why


@pytest.mark.parametrize(
    ("which", "made", "said"),
    [
        (("image", "label"), lambda a, f: (a, f @ np.diag([1, 1, 4, 1])), "Voxels of 1×1×4 mm"),
        (("image",), lambda a, f: (a * 1000, f), "[0-9]{3,4} times higher"),
        (("label",), lambda a, f: (np.roll(a, (-9, 6), (0, 1)), f), "Its labels lie at .* from right to left"),
        (("label",), lambda a, f: (a * (np.arange(a.shape[2]) % 5 == 0).astype(a.dtype), f), "smaller than other"),
        (("label",), lambda a, f: (a * 0, f), "no labelled voxel"),
        (("image",), lambda a, f: (np.where(a < 40, -900, a.round()), f), "look like CT"),
    ],
)
def test_a_case_unlike_the_others_is_told(eight: Path, which, made: Change, said: str):
    for kind in which:
        change({"image": image, "label": label}[kind](eight, 5), made)
    check = checked(eight)
    assert [case.case.name for case in check.unusual] == ["c5"]
    assert any(re.search(said, remark) for remark in check.unusual[0].remarks)


def test_what_is_unusual_in_many_cases_is_told_once(eight: Path):
    for number in (1, 4, 6):
        change(image(eight, number), lambda a, f: (a * 10000, f))
    check = checked(eight)
    assert check.unusual == ()
    assert any("each needs scaling of its own" in remark for remark in check.remarks)


def test_images_of_a_case_on_different_grids_and_missing_ones_are_faults(eight: Path):
    change(image(eight, 1), moved)
    cases = [Case((image(eight, n), image(eight, n)), label(eight, n), f"p{n}") for n in (0, 3, 6)]
    cases.append(Case((image(eight, 0), image(eight, 1)), label(eight, 0), "other grid"))
    cases.append(Case((image(eight, 0),), label(eight, 0), "one image"))
    check = check_data(DataList(tuple(cases), (), "d", "", eight))
    assert {case.case.name for case in check.faulty} == {"other grid", "one image"}
    assert "lie on different grids" in check.cases[3].faults[0].what
    assert "has 1 images, and other cases have 2" in check.cases[4].faults[0].what


def test_without_labels_images_are_checked_all_the_same(eight: Path):
    change(image(eight, 3), not_finite)
    shutil.rmtree(eight / "labelsTr")
    check = check_data(read_data(eight, validation=0, need_labels=False), need_labels=False)
    assert [case.case.name for case in check.faulty] == ["c3"]
    assert check.faults == ()


def test_slices_are_seen_as_radiologists_see_them():
    """A volume of which a corner at the patient's right, front and top is bright, on an oblique grid of other axes."""
    volume = read_volume(DATA / "imagesTr" / f"{SOURCES[0]}.nii.gz")
    array = np.zeros((20, 24, 28), np.float32)
    array[:10, 12:, 14:] = 1.0  # left to right, front to back and down to up in the affine below
    turned = replace(volume, array=array, affine=np.array([[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]))
    labels = replace(turned, array=(array > 0).astype(np.uint8))
    axial, coronal, sagittal = slice_views([turned], labels)
    for view, bright in ((axial, np.s_[:12, :10]), (coronal, np.s_[:14, :10]), (sagittal, np.s_[:14, :12])):
        expected = np.zeros(view.image.shape, bool)
        expected[bright] = True
        np.testing.assert_array_equal(view.image > 127, expected)
        np.testing.assert_array_equal(view.labels > 0, expected)
    assert [view.size_mm for view in (axial, coronal, sagittal)] == [(24, 20), (56, 20), (56, 24)]


def test_labels_are_shown_where_they_lie_in_space(eight: Path):
    """Moved by 4 mm upwards in their header alone: in the picture too, and not where their indices are."""
    before = check_case(Case(image(eight, 0), label(eight, 0)), [ANTERIOR, POSTERIOR]).slices[1]

    def up(array: np.ndarray, affine: np.ndarray):
        affine[2, 3] += 4.0
        return array, affine

    change(label(eight, 0), up)
    case = check_case(Case(image(eight, 0), label(eight, 0)), [ANTERIOR, POSTERIOR])
    assert "different grids" in case.faults[0].what
    np.testing.assert_array_equal(case.slices[1].labels[:-4], before.labels[4:])


def colored(picture: np.ndarray, wanted: tuple[float, float, float]) -> np.ndarray:
    return (np.abs(picture[..., :3] - wanted) < 0.02).all(-1)


def test_the_contact_sheet_begins_with_what_is_faulty_and_outlines_every_class(eight: Path, tmp_path: Path):
    change(label(eight, 6), moved)
    check = checked(eight)
    assert worst_first(check.cases)[0].case.name == "c6"
    (page,) = write_contact_sheet(tmp_path, check)
    picture = matplotlib.image.imread(page)
    for each in (ANTERIOR, POSTERIOR):
        assert colored(picture, each.color).sum() > 500
    red = np.argwhere(colored(picture, (192 / 255, 0, 0)))
    rows, columns = red.max(axis=0) / picture.shape[:2]
    assert rows < 0.4  # the frame and the words of the first row …
    assert columns < 0.5  # … in the first column


def test_many_cases_take_pages_of_a_size_that_can_be_read(eight: Path, tmp_path: Path):
    check = checked(eight)
    named = replace(check.cases[0], case=replace(check.cases[0].case, name="海馬 $x^2$ <&>"))
    many = replace(check, cases=(named, *check.cases[1:], *check.cases * 2))
    pages = []
    written = write_contact_sheet(tmp_path, many, lambda done, total: pages.append((done, total)))
    assert [path.name for path in written] == [f"contact_sheet_{page}.png" for page in (1, 2)]
    assert pages == [(1, 2), (2, 2)]
    height, width = matplotlib.image.imread(written[0]).shape[:2]
    assert max(height, width) < 2400
    assert width / 3 / 3 > 1.5 * DOTS_PER_INCH


def test_the_report_has_every_case_its_figures_and_its_faults(eight: Path, tmp_path: Path):
    change(label(eight, 2), seven)
    check = checked(eight)
    write_data_report(tmp_path, check, [])
    record = json.loads((tmp_path / "data_report.json").read_text(encoding="utf-8"))
    cases = {case["name"]: case for case in record["cases"]}
    assert len(cases) == 8
    assert cases["c2"]["faults"][0]["what"] == check.cases[2].faults[0].what
    assert cases["c0"]["volumes_ml"]["Anterior"] == check.cases[0].volumes_ml[1]
    table = (tmp_path / "data_report.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("| c")]
    assert len(rows) == 9  # with the head
    assert rows[1].startswith("| c2 | training | ")
    assert f"| 1×1×1 | {check.cases[0].volumes_ml[1]:.3g} |" in next(row for row in rows if row.startswith("| c0"))
    assert "1 fault, 1 case cannot be trained on" in table


def run(arguments: list[object], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of the command, run in this process."""
    monkeypatch.setattr(sys, "argv", ["transformerseg", "check-data", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_command_says_what_is_wrong_and_where_the_pictures_are(eight: Path, tmp_path: Path, monkeypatch, capsys):
    assert run([eight, "--output", tmp_path / "new" / "out"], monkeypatch) == 0
    said = capsys.readouterr()
    assert "No faults." in said.out
    assert f"Saved {tmp_path / 'new' / 'out' / 'data_report.md'}" in said.out
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {
        "data_report.json",
        "data_report.md",
        "contact_sheet_1.png",
    }
    change(label(eight, 2), seven)
    change(label(eight, 3), moved)
    assert run([eight, "-o", tmp_path / "out"], monkeypatch) == 2
    said = capsys.readouterr()
    assert "c2: “c2.nii.gz” holds the labels 0, 1, 7" in said.out
    assert "c3: “c3.nii.gz” and its labels lie on different grids" in said.out
    assert run([tmp_path / "no", "-o", tmp_path / "out"], monkeypatch) == 2
    said = capsys.readouterr()
    assert said.err.startswith("transformerseg: “")
    assert said.err.strip().endswith("Check how the path is spelt.")


def test_the_command_tells_how_long_it_will_take_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with module.counted("Reading", "case") as on_case:
        for done in range(1, 4):
            on_case(done, 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[0] for line in lines] == ["Reading: case 1 of 3", "Reading: case 2 of 3"]
    assert all(line.endswith(" s left") for line in lines)


def test_the_report_comes_without_pictures_where_there_is_no_matplotlib(
    eight: Path, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert run([eight, "-o", tmp_path / "out"], monkeypatch) == 0
    assert "pip install matplotlib" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"data_report.json", "data_report.md"}


def test_labels_that_no_file_of_16_bits_holds_are_refused(eight: Path):
    change(label(eight, 2), lambda a, f: (a.astype(np.int32) * 900_000_000, f))
    (case,) = checked(eight).faulty
    assert "0, 9e+08, 1.8e+09" in case.faults[0].what
    assert "from 0 to 65535" in case.faults[0].why


def test_labels_with_gaps_are_told_before_a_new_network_refuses_them(eight: Path):
    (eight / "dataset.json").unlink()
    for number in range(8):
        change(label(eight, number), lambda a, f: ((a > 0).astype(np.uint8) * 255, f))
    check = checked(eight)
    assert (check.faulty, check.faults) == ((), ())
    assert any("The labels are 255" in remark for remark in check.remarks)


def test_a_class_that_has_another_number_in_the_model_is_a_fault(eight: Path):
    swapped = (replace(ANTERIOR, name="posterior"), replace(POSTERIOR, name="anterior"))
    (fault,) = check_data(read_data(eight), swapped).faults
    assert fault.what == "“Anterior” has the label 1 in the data, and 2 in the model"


def test_for_pretraining_damaged_labels_do_not_matter(eight: Path):
    label(eight, 3).write_bytes(b"damaged")
    check = check_data(read_data(eight, validation=0, need_labels=False), need_labels=False)
    assert (check.faulty, check.faults) == ((), ())


def test_a_file_of_several_volumes_says_how_to_make_inputs_of_it(eight: Path):
    change(image(eight, 1), lambda a, f: (np.stack([a, a], axis=-1), f))
    (case,) = checked(eight).faulty
    assert "4 dimensions" in case.faults[0].what
    assert "c1_0000.nii.gz" in case.faults[0].remedy


def test_names_that_look_like_formulas_or_that_the_font_lacks_are_drawn_as_they_are(eight: Path, tmp_path: Path):
    data = read_data(eight, validation=0)
    named = replace(data, training=(replace(data.training[0], name="$c_{1$ 頭"), *data.training[1:2]), name="$x_{$")
    assert len(write_contact_sheet(tmp_path, check_data(named))) == 1
