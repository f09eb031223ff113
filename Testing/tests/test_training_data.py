"""Training data, however they are kept: lists, folders, and what is kept out of them."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.training.cases import Case
from TransformerSegLib.training.data_list import read_data, read_data_list
from TransformerSegLib.training.labels import read_label
from TransformerSegLib.training.usual_case import CASES_LOOKED_AT, usual_case
from TransformerSegLib.training.validation_split import split

DATA = Path(__file__).parents[1] / "data" / "hippocampus" / "training"
NAMES = ("hippocampus_150", "hippocampus_243", "hippocampus_380")


def image(name: str) -> Path:
    return DATA / "imagesTr" / f"{name}.nii.gz"


def label(name: str) -> Path:
    return DATA / "labelsTr" / f"{name}.nii.gz"


def folder_of(root: Path, files: dict[str, Path], description: dict | None = None) -> Path:
    """A folder with copies of real volumes, at these places in it."""
    for place, source in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / place)
    if description is not None:
        (root / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return root


def names(cases) -> list[str]:
    return [case.name for case in cases]


def test_a_listed_case_may_have_several_images_in_the_order_of_the_inputs(tmp_path: Path):
    entry = {
        "image": [f"{place}-{kind}.nii.gz" for place, kind in (("p1", "t2f"), ("p1", "t1c"))],
        "label": "p1.nii.gz",
    }
    folder_of(tmp_path, {place: image(NAMES[0]) for place in (*entry["image"], entry["label"])})
    (tmp_path / "list.json").write_text(json.dumps({"training": [entry], "name": "two inputs"}), encoding="utf-8")
    data = read_data(tmp_path / "list.json")
    (case,) = data.training
    assert [path.name for path in case.images] == entry["image"]
    assert (case.name, case.image.name, data.name) == ("p1", "p1-t2f.nii.gz", "two inputs")


def test_labels_may_be_missing_in_a_list_only_where_they_are_not_needed(tmp_path: Path):
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"training": [{"image": str(image(name))} for name in NAMES[:2]]}), encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match="cannot be read"):
        read_data(listed)
    assert [case.label for case in read_data(listed, validation=0, need_labels=False).training] == [None, None]


def test_all_missing_files_of_a_list_are_named_at_once(tmp_path: Path):
    entries = [{"image": f"{name}.nii.gz", "label": str(label(NAMES[0]))} for name in ("one", "two", "three")]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}), encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match="” and 2 more files") as raised:
        read_data(tmp_path / "list.json")
    assert "one.nii.gz" in raised.value.what
    assert [Path(line).name for line in raised.value.details] == ["two.nii.gz", "three.nii.gz"]


def test_a_validation_that_a_list_names_is_kept(tmp_path: Path):
    entries = [{"image": str(image(name)), "label": str(label(name))} for name in NAMES]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries[:2], "validation": entries[2:]}))
    data = read_data(tmp_path / "list.json", validation=0.5)
    assert (names(data.training), names(data.validation)) == (list(NAMES[:2]), [NAMES[2]])
    assert data.notes == ()


def test_a_decathlon_folder_has_the_classes_and_the_licence_of_its_description(tmp_path: Path):
    files = {f"imagesTr/{name}.nii.gz": image(name) for name in NAMES}
    files |= {f"labelsTr/{name}.nii.gz": label(name) for name in NAMES}
    described = {"name": "Hippocampus", "licence": "CC-BY-SA 4.0", "modality": {"0": "MRI"}}
    described["labels"] = {"0": "background", "2": "Posterior", "1": "Anterior"}
    data = read_data(folder_of(tmp_path, files, described))
    assert (data.name, data.licence) == ("Hippocampus", "CC-BY-SA 4.0")
    assert [(each.label, each.name) for each in data.classes] == [(1, "Anterior"), (2, "Posterior")]
    assert sorted(names(data.cases)) == list(NAMES)
    assert len(data.validation) == 1
    assert "1 of 3 cases" in data.notes[0]


def test_the_channels_of_nnunet_are_the_images_of_one_case(tmp_path: Path):
    files = {
        f"imagesTr/case_{case}_{channel}.nii.gz": image(NAMES[0]) for case in (7, 8) for channel in ("0001", "0000")
    }
    files |= {f"labelsTr/case_{case}.nii.gz": label(NAMES[0]) for case in (7, 8)}
    described = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "Organ": 1},
        "file_ending": ".nii.gz",
    }
    folder = folder_of(tmp_path, files, described)
    for need_labels in (True, False):
        data = read_data(folder, validation=0, need_labels=need_labels)
        assert names(data.training) == ["case_7", "case_8"]
        assert [path.name for path in data.training[0].images] == ["case_7_0000.nii.gz", "case_7_0001.nii.gz"]


def test_a_number_at_the_end_of_a_name_is_no_channel_where_the_labels_have_it_too(tmp_path: Path):
    places = ("scan_0001", "scan_0002")
    files = {f"images/{place}.nii.gz": image(NAMES[0]) for place in places}
    files |= {f"labels/{place}.nii.gz": label(NAMES[0]) for place in places}
    assert names(read_data(folder_of(tmp_path, files), validation=0).training) == list(places)


def test_all_files_without_a_partner_are_named_at_once(tmp_path: Path):
    files = {"images/a.nii.gz": image(NAMES[0]), "images/b.nii.gz": image(NAMES[1]), "labels/b.nii.gz": label(NAMES[1])}
    files |= {"labels/c.nii.gz": label(NAMES[1]), "images/d.nii.gz": image(NAMES[1])}
    with pytest.raises(TrainingDataRejected, match="“a” has no labels in “labels”, and 2 more") as raised:
        read_data(folder_of(tmp_path, files))
    assert raised.value.details == ("“d” has no labels in “labels”", "“c.nii.gz” has no image in “images”")


def test_labels_may_lie_beside_their_images(tmp_path: Path):
    folder = Path(__file__).parents[1] / "data" / "hippocampus"
    cases = read_data(folder, validation=0.0).training
    assert [(case.name, case.label.name) for case in cases] == [
        ("hippocampus_037", "hippocampus_037_label.nii.gz"),
        ("hippocampus_287", "hippocampus_287_label.nii.gz"),
    ]
    for name in ("hippocampus_037.nii.gz", "hippocampus_037_label.nii.gz", "hippocampus_287.nii.gz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert [case.name for case in read_data(tmp_path, validation=0.0).training] == ["hippocampus_037"]
    alone = read_data(tmp_path, validation=0.0, need_labels=False).training
    assert [case.name for case in alone] == ["hippocampus_037", "hippocampus_287"]


def test_a_folder_of_images_is_data_only_where_labels_are_not_needed(tmp_path: Path):
    folder = folder_of(tmp_path, {f"{person}/scan_000{n}.nii.gz": image(NAMES[0]) for person in "ab" for n in (0, 1)})
    with pytest.raises(TrainingDataRejected, match="holds no labelled cases"):
        read_data(folder)
    data = read_data(folder, validation=0, need_labels=False)
    assert names(data.training) == ["a/scan_0000", "a/scan_0001", "b/scan_0000", "b/scan_0001"]
    assert all(len(case.images) == 1 for case in data.training)


def test_an_empty_folder_and_one_that_is_not_there_are_refused(tmp_path: Path):
    with pytest.raises(TrainingDataRejected, match="holds no case"):
        read_data(tmp_path, need_labels=False)
    with pytest.raises(TrainingDataRejected, match="does not exist"):
        read_data(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_damaged_description_is_refused_by_its_name(tmp_path: Path, text: str):
    folder = folder_of(tmp_path, {"images/a.nii.gz": image(NAMES[0]), "labels/a.nii.gz": label(NAMES[0])})
    (folder / "dataset.json").write_text(text, encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match=r"dataset\.json"):
        read_data(folder)


def test_a_folder_of_both_sides_of_one_case_is_refused_even_behind_a_link(tmp_path: Path):
    linked = tmp_path / "other.nii.gz"
    linked.symlink_to(image(NAMES[0]))
    sides = {
        "training": [{"image": str(image(NAMES[0])), "label": str(label(NAMES[0]))}],
        "validation": [{"image": str(linked), "label": str(label(NAMES[0]))}],
    }
    (tmp_path / "list.json").write_text(json.dumps(sides), encoding="utf-8")
    with pytest.raises(TrainingDataRejected, match="for training and for validation"):
        read_data_list(tmp_path / "list.json")


def numbered(count: int) -> list[Case]:
    return [Case((Path(f"scan_{number}.nii.gz"),)) for number in range(count)]


def test_what_is_kept_out_are_blocks_of_neighbours():
    for seed in range(20):
        training, kept_out = split(numbered(200), 0.2, seed)
        assert (len(training), len(kept_out)) == (160, 40)
        numbers = [int(case.name.removeprefix("scan_")) for case in kept_out]
        assert numbers == sorted(numbers)  # 9 comes before 10
        gaps = sum(after - before > 1 for before, after in pairwise(numbers))
        assert gaps <= 3


def test_the_same_seed_keeps_the_same_cases_out_and_another_one_others():
    shuffled = list(np.random.default_rng(0).permutation(np.array(numbered(50), object)))
    assert split(numbered(50), 0.2, 1) == split(shuffled, 0.2, 1)
    assert split(numbered(50), 0.2, 1) != split(numbered(50), 0.2, 2)


def test_scans_of_one_person_are_never_parted():
    cases = [Case((Path(f"patient{person:03d}_frame{frame}.nii.gz"),)) for person in range(30) for frame in (1, 12)]
    for seed in range(20):
        people = [{case.name[:10] for case in side} for side in split(cases, 0.25, seed)]
        assert not people[0] & people[1]
        assert len(people[1]) == 8


@pytest.mark.parametrize(("count", "share", "expected"), [(1, 0.2, 0), (2, 0.2, 1), (3, 0.9, 2), (10, 0.0, 0)])
def test_something_is_always_left_to_train_on(count: int, share: float, expected: int):
    training, kept_out = split(numbered(count), share, 0)
    assert (len(training), len(kept_out)) == (count - expected, expected)


def test_the_labels_of_a_volume_file_are_its_values():
    case = Case((image(NAMES[0]),), label(NAMES[0]))
    labels = read_label(case, ())
    assert labels.array.dtype == np.uint8
    np.testing.assert_array_equal(labels.array, read_volume(label(NAMES[0])).array)
    np.testing.assert_array_equal(labels.affine, read_volume(image(NAMES[0])).affine)


def test_a_case_without_labels_says_so_where_they_are_asked_for():
    with pytest.raises(TrainingDataRejected, match="has no labels"):
        read_label(Case((image(NAMES[0]),)), ())


def test_a_list_saved_with_a_byte_order_mark_and_empty_fields_is_read(tmp_path: Path):
    listed = {
        "name": None,
        "licence": None,
        "training": [{"image": str(image(NAMES[0])), "label": str(label(NAMES[0]))}],
    }
    (tmp_path / "list.json").write_text(json.dumps(listed), encoding="utf-8-sig")
    data = read_data(tmp_path / "list.json")
    assert (data.name, data.licence, names(data.training)) == ("", "", [NAMES[0]])


def test_two_readers_labels_of_one_image_are_cases_of_two_names_on_one_side(tmp_path: Path):
    entries = [{"image": str(image(NAMES[0])), "label": str(label(name))} for name in NAMES[:2]]
    entries += [{"image": str(image(NAMES[2])), "label": str(label(NAMES[2]))}]
    (tmp_path / "list.json").write_text(json.dumps({"training": entries}), encoding="utf-8")
    data = read_data(tmp_path / "list.json", validation=0.3)
    assert len({case.name for case in data.cases}) == 3
    assert len({case.name.removesuffix(" (2)") for case in data.training}) in (1, len(data.training))
    assert not {case.image for case in data.training} & {case.image for case in data.validation}


def test_volumes_without_labels_beside_them_are_left_out_and_named(tmp_path: Path):
    files = {"a.nii.gz": image(NAMES[0]), "a_label.nii.gz": label(NAMES[0]), "b.nii.gz": image(NAMES[1])}
    data = read_data(folder_of(tmp_path, files), validation=0)
    assert (names(data.training), data.notes) == (["a"], ("1 file is left out, without a partner: b.nii.gz",))


def test_classes_that_nothing_names_are_found_in_all_cases(tmp_path: Path):
    """In the rare case, too, that is not among those that are looked at closely."""
    cases = []
    for number in range(2 * CASES_LOOKED_AT):
        array = read_volume(label(NAMES[0])).array.copy()
        if number != 1:
            array[array == 2] = 1
        path = tmp_path / f"{number}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(array, nibabel.load(label(NAMES[0])).affine), path)
        cases.append(Case(image(NAMES[0]), path))
    assert usual_case(cases, (), "RAS").labels == (1, 2)


@pytest.mark.parametrize("ending", ["_label", "-seg", "_Segmentation"])
def test_labels_in_a_folder_of_their_own_may_be_called_labels_too(tmp_path: Path, ending: str):
    files = {f"images/{case}_000{n}.nii.gz": image(NAMES[0]) for case in "ab" for n in (0, 1)}
    files |= {f"labels/{case}{ending}.nii.gz": label(NAMES[0]) for case in "ab"}
    data = read_data(folder_of(tmp_path, files), validation=0)
    assert [(case.name, case.label.name) for case in data.training] == [(c, f"{c}{ending}.nii.gz") for c in "ab"]
    assert all(len(case.images) == 2 for case in data.training)
    folder_of(tmp_path, {"labels/a.nii.gz": label(NAMES[1])})
    with pytest.raises(TrainingDataRejected, match=f"“a{ending}.nii.gz” has no image"):
        read_data(tmp_path)


def test_labels_in_patients_folders_are_not_taken_for_images(tmp_path: Path):
    """As BraTS has them: no image has the name that its labels begin with."""
    files = {f"{case}/{case}-{kind}.nii.gz": image(NAMES[0]) for case in ("p1", "p2") for kind in ("t1n", "t2f")}
    files |= {f"{case}/{case}-seg.nii.gz": label(NAMES[0]) for case in ("p1", "p2")} | {
        "p3/seg.nii.gz": label(NAMES[0])
    }
    data = read_data(folder_of(tmp_path, files), validation=0, need_labels=False)
    assert names(data.training) == ["p1-t1n", "p1-t2f", "p2-t1n", "p2-t2f"]
    assert data.notes == (
        "3 files are left out, labels by their names: p1/p1-seg.nii.gz, p2/p2-seg.nii.gz, p3/seg.nii.gz",
    )
