"""Inputs that do not belong together are refused: another patient, another frame of reference, the same image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import FrameOfReferenceMismatch, GridMismatch, OtherPatient, SameVolumeTwice
from TransformerSegLib.inference.belonging import check_different, check_together, frame_of_reference_findings
from TransformerSegLib.inference.grids import bring_together
from TransformerSegLib.inference.origin import Origin
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.region import Region
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle
from dicom_files import REAL, changed
from four_images import padded, turned


def volume(name: str, patient: str = "", frame: str = "", seed: int | None = None) -> Volume:
    """Noise of its own, 40 mm a side."""
    noise = np.random.default_rng(list(name.encode()) if seed is None else seed).normal(100, 20, (40, 40, 40))
    return Volume(noise.astype(np.float32), np.eye(4), name, "MR", Origin(name, patient, frame))


def without_lowest(image: Volume, slices: int) -> Volume:
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 2] * slices
    return replace(image, array=np.ascontiguousarray(image.array[:, :, slices:]), affine=affine)


def test_images_of_one_patient_in_one_frame_pass():
    volumes = [volume("T1", "4711", "1.2.3"), volume("FLAIR", "4711", "1.2.3")]
    check_together(volumes)
    assert frame_of_reference_findings(volumes) == []


@pytest.mark.parametrize("first", [Origin(), Origin(patient_id="4711", frame_of_reference="1.2.3")])
def test_what_says_nothing_of_patient_and_frame_has_nothing_to_be_compared(first):
    volumes = [replace(volume("T1"), origin=first), volume("FLAIR")]
    check_together(volumes)
    assert frame_of_reference_findings(volumes) == []


@pytest.mark.parametrize("ids", [("4711", "4712", "4712"), ("4711", "4711", "4712"), ("", "4711", "4712")])
def test_another_patient_is_refused_without_telling_who_it_is(ids):
    volumes = [volume(f"image {number}", patient) for number, patient in enumerate(ids)]
    with pytest.raises(OtherPatient, match=r"“image \d” and “image \d” are of different patients") as refused:
        check_together(volumes)
    assert "471" not in str(refused.value) + repr([one.origin for one in volumes])


def test_one_image_given_twice_is_refused_under_whatever_name():
    with pytest.raises(SameVolumeTwice, match="“T1” is given for more than one input"):
        check_together([volume("T1", seed=1), volume("T2"), volume("FLAIR", seed=1)])


def test_a_copy_that_was_turned_and_padded_is_the_same_image():
    original = volume("T1")
    copy = padded(turned(replace(original, name="FLAIR"), (2, 0, 1), (-1, 1, 1)), (3, 0, 2), (0, 1, 0))
    with pytest.raises(SameVolumeTwice, match="“T1” is given for more than one input"):
        check_different(bring_together([original, copy]))


def test_images_that_differ_in_one_voxel_are_not_the_same():
    one, other = volume("T1", seed=1), volume("FLAIR", seed=1)
    other.array[20, 20, 20] += 1
    check_together([one, other])


def test_the_same_voxels_at_another_place_are_another_image():
    one, other = volume("T1", seed=1), volume("FLAIR", seed=1)
    other.affine[0, 3] = 1.0
    check_together([one, other])


def test_another_part_of_the_body_is_refused():
    elsewhere = volume("leg")
    elsewhere.affine[2, 3] = 500.0
    with pytest.raises(GridMismatch, match="covers only 0%"):
        check_together([volume("head"), elsewhere])


@pytest.mark.parametrize("before", [[], [volume("no DICOM")]])
def test_another_frame_of_reference_is_a_finding_that_says_what_registration_leaves(before):
    [finding] = frame_of_reference_findings([*before, volume("T1", frame="1.2.3"), volume("FLAIR", frame="1.2.4")])
    assert isinstance(finding, FrameOfReferenceMismatch)
    assert finding.what == "“T1” and “FLAIR” have different frames of reference"
    assert "may keep its old frame of reference" in finding.remedy
    assert "1.2" not in str(finding)


def test_dicom_tells_series_patient_and_frame_in_both_kinds_of_file(tmp_path):
    def change(data_set, index: int) -> None:
        data_set.PatientID, data_set.FrameOfReferenceUID, data_set.SeriesDescription = " 4711 ", "1.2.3", "AX T2 FLAIR"

    expected = Origin("AX T2 FLAIR", "4711", "1.2.3")
    for source in ("hippocampus_mr", "enhanced_mr"):
        assert read_volume(changed(source, tmp_path / source, change)).origin == expected


def test_what_is_no_dicom_tells_nothing():
    assert read_volume(REAL.parent / "geometry" / "oblique_flair.nii.gz").origin == Origin()


def test_an_image_keeps_its_origin_when_it_is_brought_onto_another_grid():
    first, other = volume("T1"), volume("FLAIR", "4711", "1.2.3")
    other.affine[0, 3] = 0.5
    assert bring_together([first, other])[1].origin == other.origin


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return read_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "two", inputs=("T1", "FLAIR")))


def test_a_run_refuses_a_turned_copy_of_another_input(two_inputs):
    original = volume("T1")
    with pytest.raises(SameVolumeTwice):
        Segmenter(two_inputs, "cpu").segment([original, turned(original, (0, 1, 2), (-1, 1, 1))])


def test_a_run_tells_where_an_input_does_not_reach(two_inputs):
    short = without_lowest(volume("FLAIR"), 12)
    found = Segmenter(two_inputs, "cpu").segment([volume("T1"), short])
    [note] = found.provenance["notes"]
    assert note.startswith("“FLAIR” covers only 70% of what “T1” shows")


def test_a_region_that_an_input_does_not_reach_is_refused(two_inputs):
    short = without_lowest(volume("FLAIR"), 12)
    below = SegmentOptions(region=Region(np.array([20.0, 20.0, 6.0]), np.array([30.0, 30.0, 10.0]), np.eye(3)))
    with pytest.raises(GridMismatch, match="“FLAIR” covers only 0% of what “T1” shows"):
        Segmenter(two_inputs, "cpu", below).segment([volume("T1"), short])


def test_a_run_refuses_another_frame_of_reference_until_it_is_accepted(two_inputs):
    volumes = [volume("T1", "4711", "1.2.3"), volume("FLAIR", "4711", "1.2.4")]
    with pytest.raises(FrameOfReferenceMismatch):
        Segmenter(two_inputs, "cpu").segment(volumes)
    found = Segmenter(two_inputs, "cpu", SegmentOptions(accept_mismatch=True)).segment(volumes)
    assert found.provenance["mismatches"] == ["“T1” and “FLAIR” have different frames of reference"]
    assert "4711" not in str(dict(found.provenance))
    volumes[1] = replace(volumes[1], origin=Origin("FLAIR", "0815"))
    with pytest.raises(OtherPatient):
        Segmenter(two_inputs, "cpu", SegmentOptions(accept_mismatch=True)).segment(volumes)
