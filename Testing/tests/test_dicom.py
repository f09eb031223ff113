"""DICOM series and enhanced files become volumes in their place, or a sentence that says why not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from TransformerSegLib.errors import (
    IncompleteSeries,
    NotThreeDimensional,
    SeriesNotFound,
    SeveralSeries,
    ShearedAffine,
    TransformerSegError,
    UnreadableInput,
    VectorVoxels,
)
from TransformerSegLib.inference.checks import check_volume
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.volume import Volume

from damage import mutated
from dicom_files import REAL, changed

SERIES = REAL / "hippocampus_mr"
ENHANCED = REAL / "enhanced_mr" / "IM-0001-0170-0001.dcm"


def assert_equal(volume: Volume, expected: Volume) -> None:
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-9)


def as_it_is(data_set: Dataset, index: int) -> None:
    """No change."""


# ---------------------------------------------------------------------------------------------------- series


def test_a_series_has_the_pixels_of_its_slices_at_their_positions():
    volume = read_volume(SERIES)
    assert (volume.array.shape, volume.array.dtype) == ((35, 51, 32), np.int16)
    assert volume.array.flags.c_contiguous
    for path in SERIES.iterdir():
        data_set = dcmread(path)
        first_pixel = np.array([*data_set.ImagePositionPatient, 1.0]) * (-1, -1, 1, 1)
        i, j, k = np.rint(np.linalg.inv(volume.affine) @ first_pixel).astype(int)[:3]
        assert (i, j) == (0, 0)
        np.testing.assert_array_equal(volume.array[:, :, k], data_set.pixel_array.T)


def test_a_series_is_called_by_its_description_and_tells_its_modality():
    assert (read_volume(SERIES).name, read_volume(SERIES).modality) == ("HippoCrop", "MR")
    assert (read_volume(REAL / "ct_jpeg2000").name, read_volume(REAL / "ct_jpeg2000").modality) == ("CT Body 3.0", "CT")


def test_a_series_without_description_is_called_by_its_number_and_never_by_the_patient(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        del data_set.SeriesDescription
        data_set.SeriesNumber = 7
        data_set.PatientName = "Doe^Jane"

    assert read_volume(changed("hippocampus_mr", tmp_path, change)).name == "series 7"


def test_a_compressed_ct_series_is_read_in_hounsfield_units_in_the_order_of_its_positions():
    volume = read_volume(REAL / "ct_jpeg2000")
    assert volume.array.dtype == np.int16
    # The sums of the slices, decoded by OpenJPEG through pydicom; the files are named in another order.
    np.testing.assert_array_equal(volume.array.sum(axis=(0, 1)), [-4599174, -4593239, -4570997, -4533770])
    np.testing.assert_allclose(volume.affine[:3, 3], [54.19921875, 328.1367188, -788.5])
    assert volume.spacing == pytest.approx((0.9765625, 0.9765625, 2.0))


def test_files_without_suffix_and_other_files_between_them_do_not_matter(tmp_path):
    for index, path in enumerate(sorted(SERIES.iterdir())):
        shutil.copy(path, tmp_path / f"IM{index}")
    (tmp_path / "README.txt").write_text("exported for you " * 20)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert_equal(read_volume(tmp_path), read_volume(SERIES))


def test_positions_that_were_rounded_to_a_tenth_of_a_millimetre_are_even_enough(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        data_set.ImagePositionPatient = [0, 0, round(0.625 * index, 1)]

    volume = read_volume(changed("hippocampus_mr", tmp_path, change))
    assert volume.spacing[2] == pytest.approx(0.625, rel=0.01)


def test_every_slice_is_rescaled_by_its_own_slope(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        data_set.RescaleSlope = 1 + index / 4
        data_set.RescaleIntercept = index

    volume = read_volume(changed("hippocampus_mr", tmp_path, change))
    slices = np.arange(32)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, read_volume(SERIES).array * (1 + slices / 4) + slices)


def test_a_turned_series_lies_where_its_orientation_says(tmp_path):
    along_row, along_column = np.array([0.8, 0.6, 0.0]), np.array([-0.48, 0.64, -0.6])
    normal = np.cross(along_row, along_column)
    origin = np.array([10.0, 20.0, 30.0])

    def change(data_set: Dataset, index: int) -> None:
        data_set.ImageOrientationPatient = [*along_row, *along_column]
        data_set.ImagePositionPatient = [f"{x:.10f}" for x in origin - 2.5 * index * normal]
        data_set.PixelSpacing = [0.5, 0.75]  # between rows, between columns

    volume = read_volume(changed("hippocampus_mr", tmp_path, change))
    lps = np.diag([-1, -1, 1, 1]) @ volume.affine
    np.testing.assert_allclose(lps[:3, 0], 0.75 * along_row, atol=1e-9)
    np.testing.assert_allclose(lps[:3, 1], 0.5 * along_column, atol=1e-9)
    np.testing.assert_allclose(lps[:3, 2], 2.5 * normal, atol=1e-9)
    np.testing.assert_allclose(lps @ [0, 0, 31, 1], [*origin, 1], atol=1e-9)
    np.testing.assert_array_equal(volume.array, read_volume(SERIES).array[:, :, ::-1])
    check_volume(volume)


# ---------------------------------------------------------------------------------------------------- choosing


@pytest.fixture
def study(tmp_path) -> Path:
    """A patient's folder with two series in sub-folders: 5 “first” and 301 without description."""

    def change(data_set: Dataset, index: int) -> None:
        data_set.SeriesNumber, data_set.SeriesDescription = 5, "First"

    changed("hippocampus_mr", tmp_path / "study" / "a", change)
    shutil.copytree(REAL / "enhanced_mr", tmp_path / "study" / "b" / "c")
    return tmp_path / "study"


def test_several_series_are_named_so_that_one_can_be_chosen(study):
    expected = r"holds 2 DICOM series, 5 “First” \(MR, 32 images\); 301 \(MR, 8 images\): .* with --series"
    with pytest.raises(SeveralSeries, match=expected):
        read_volume(study)


@pytest.mark.parametrize("wanted", ["5", "First", " first ", dcmread(SERIES / "1.dcm").SeriesInstanceUID])
def test_a_series_is_chosen_by_number_description_or_uid(study, wanted):
    assert_equal(read_volume(study, wanted), read_volume(SERIES))


def test_a_series_in_a_folder_of_a_folder_is_found(study):
    assert_equal(read_volume(study, "301"), read_volume(ENHANCED))


def test_a_series_that_is_not_there_is_refused_with_those_that_are(study):
    with pytest.raises(SeriesNotFound, match=r"no series “6”: it has 5 “First” .*; 301 "):
        read_volume(study, "6")


def test_series_of_the_same_number_are_listed_with_their_uids(tmp_path):
    changed("hippocampus_mr", tmp_path / "a", as_it_is)
    uid = generate_uid()

    def change(data_set: Dataset, index: int) -> None:
        data_set.SeriesInstanceUID = uid

    changed("hippocampus_mr", tmp_path / "b", change)
    with pytest.raises(SeveralSeries, match=uid):
        read_volume(tmp_path, "HippoCrop")
    assert_equal(read_volume(tmp_path, uid), read_volume(SERIES))


@pytest.mark.parametrize(
    "changes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"Modality": "SEG"},
        {"Modality": "SR", "Rows": None, "Columns": None, "PixelData": None},
        {"ImagePositionPatient": None},
    ],
    ids=["localizer", "segmentation", "report", "screenshot"],
)
def test_what_is_no_image_of_a_patient_is_no_series_to_choose(tmp_path, changes):
    uid = generate_uid()

    def change(data_set: Dataset, index: int) -> None:
        data_set.SeriesInstanceUID = uid
        for tag, value in changes.items():
            if value is None:
                delattr(data_set, tag)
            else:
                setattr(data_set, tag, value)

    other = changed("hippocampus_mr", tmp_path / "other", change)
    shutil.copytree(SERIES, tmp_path / "images")
    assert_equal(read_volume(tmp_path), read_volume(SERIES))
    with pytest.raises(UnreadableInput, match="“other” holds no DICOM series of images"):
        read_volume(other)


def test_a_folder_without_dicom_is_refused(tmp_path):
    with pytest.raises(UnreadableInput, match="no DICOM series of images"):
        read_volume(tmp_path)


# ---------------------------------------------------------------------------------------------------- geometry


def test_gantry_tilt_is_refused_with_its_angle_and_the_way_to_rectify_it():
    with pytest.raises(ShearedAffine, match=r"14.0° askew \(gantry tilt\).*Acquisition geometry regularization"):
        read_volume(REAL / "gantry_tilt")


def test_a_gap_is_refused_with_its_place():
    expected = "at S 28.1 mm and S 38.1 mm are 10.00 mm apart, the others mostly 5.00 mm"
    with pytest.raises(IncompleteSeries, match=expected):
        read_volume(REAL / "gap")


@pytest.mark.parametrize("missing", [2, 15, 29])
def test_one_missing_slice_is_refused_with_its_place(tmp_path, missing):
    changed("hippocampus_mr", tmp_path, as_it_is)
    (tmp_path / f"{missing:03d}.dcm").unlink()
    expected = f"at S {missing:.1f} mm and S {missing + 2:.1f} mm are 2.00 mm apart, the others mostly 1.00 mm"
    with pytest.raises(IncompleteSeries, match=expected):
        read_volume(tmp_path)


@pytest.mark.parametrize("spacing", [0.1, 5.0])
def test_a_missing_slice_is_noticed_in_thin_slices_and_in_thick_ones(tmp_path, spacing):
    def change(data_set: Dataset, index: int) -> None:
        data_set.ImagePositionPatient = [0, 0, spacing * index]

    changed("hippocampus_mr", tmp_path, change)
    assert read_volume(tmp_path).spacing[2] == pytest.approx(spacing)
    (tmp_path / "015.dcm").unlink()
    with pytest.raises(IncompleteSeries, match="unequally spaced"):
        read_volume(tmp_path)


def test_two_slices_are_too_few_to_tell_whether_others_are_missing():
    with pytest.raises(IncompleteSeries, match="only 2 slices"):
        read_volume(REAL / "two_slices")


def test_a_slice_that_is_there_twice_is_refused_with_its_place(tmp_path):
    changed("hippocampus_mr", tmp_path, as_it_is)
    shutil.copy(tmp_path / "004.dcm", tmp_path / "copy.dcm")
    with pytest.raises(IncompleteSeries, match=r"several images at S 5.0 mm: slices are doubled"):
        read_volume(tmp_path)


def test_a_slice_that_is_off_its_place_is_refused(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        if index == 9:
            data_set.ImagePositionPatient = [0, 0, 10.3]

    with pytest.raises(IncompleteSeries, match="unequally spaced"):
        read_volume(changed("hippocampus_mr", tmp_path, change))


def test_a_slice_that_is_shifted_sideways_is_refused_with_its_place(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        if index == 9:
            data_set.ImagePositionPatient = [3, 4, 10]

    with pytest.raises(IncompleteSeries, match=r"at S 10.0 mm is shifted sideways by 5.00 mm"):
        read_volume(changed("hippocampus_mr", tmp_path, change))


@pytest.mark.parametrize(
    ("tag", "value", "differ"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 0, 0, 1], "orientations"),
        ("PixelSpacing", [2, 2], "pixel spacings"),
        ("Rows", 50, "sizes"),
    ],
)
def test_slices_that_are_not_alike_are_refused(tmp_path, tag, value, differ):
    def change(data_set: Dataset, index: int) -> None:
        if index == 9:
            setattr(data_set, tag, value)

    with pytest.raises(IncompleteSeries, match=f"different {differ}"):
        read_volume(changed("hippocampus_mr", tmp_path, change))


# ---------------------------------------------------------------------------------------------------- enhanced files


def test_an_enhanced_file_has_the_frames_scaled_and_placed_as_its_functional_groups_say():
    volume, data_set = read_volume(ENHANCED), dcmread(ENHANCED)
    assert (volume.name, volume.modality) == ("IM-0001-0170-0001", "MR")
    assert volume.spacing == pytest.approx((1.0, 1.0, 1.2), rel=1e-4)
    frames = data_set.PerFrameFunctionalGroupsSequence
    slope = float(frames[0].PixelValueTransformationSequence[0].RescaleSlope)
    for frame, pixels in zip(frames, data_set.pixel_array, strict=True):
        position = np.array([*frame.PlanePositionSequence[0].ImagePositionPatient, 1.0]) * (-1, -1, 1, 1)
        index = np.linalg.inv(volume.affine) @ position
        np.testing.assert_allclose(index, np.rint(index), atol=1e-4)
        np.testing.assert_allclose(volume.array[:, :, round(index[2])], pixels.T * slope)
    check_volume(volume)


def test_a_folder_with_one_enhanced_file_is_read_like_the_file():
    assert_equal(read_volume(ENHANCED.parent), read_volume(ENHANCED))


def enhanced(path: Path, change) -> Path:
    data_set = dcmread(ENHANCED)
    change(data_set)
    data_set.save_as(path / "enhanced.dcm")
    return path / "enhanced.dcm"


def test_frames_are_put_into_their_order_in_space(tmp_path):
    order = [3, 1, 7, 0, 2, 6, 5, 4]

    def shuffle(data_set: Dataset) -> None:
        data_set.PixelData = data_set.pixel_array[order].tobytes()
        frames = data_set.PerFrameFunctionalGroupsSequence
        data_set.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]

    assert_equal(read_volume(enhanced(tmp_path, shuffle)), read_volume(ENHANCED))


def test_frames_that_are_unevenly_spaced_are_refused(tmp_path):
    def move(data_set: Dataset) -> None:
        place = data_set.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
        place.ImagePositionPatient = [float(place.ImagePositionPatient[0]) - 0.5, *place.ImagePositionPatient[1:]]

    with pytest.raises(IncompleteSeries, match="unequally spaced"):
        read_volume(enhanced(tmp_path, move))


def test_several_echoes_in_one_enhanced_file_are_refused(tmp_path):
    def double(data_set: Dataset) -> None:
        frames = list(data_set.PerFrameFunctionalGroupsSequence)
        data_set.PerFrameFunctionalGroupsSequence = frames + frames
        data_set.PixelData += data_set.PixelData
        data_set.NumberOfFrames = 16

    with pytest.raises(IncompleteSeries, match="several time points, echoes or reconstructions"):
        read_volume(enhanced(tmp_path, double))


def test_frames_that_are_scaled_differently_are_refused(tmp_path):
    def rescale(data_set: Dataset) -> None:
        data_set.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence[0].RescaleSlope = 2

    with pytest.raises(UnreadableInput, match="scaled differently"):
        read_volume(enhanced(tmp_path, rescale))


def test_frames_without_a_place_are_refused(tmp_path):
    def remove(data_set: Dataset) -> None:
        del data_set.PerFrameFunctionalGroupsSequence

    with pytest.raises(UnreadableInput, match="no place in the patient"):
        read_volume(enhanced(tmp_path, remove))


def test_several_enhanced_files_of_one_series_are_refused(tmp_path):
    shutil.copy(ENHANCED, tmp_path / "a.dcm")
    shutil.copy(ENHANCED, tmp_path / "b.dcm")
    with pytest.raises(NotThreeDimensional, match="several multi-frame files"):
        read_volume(tmp_path)


# ---------------------------------------------------------------------------------------------------- bad files


def test_one_slice_is_refused_with_the_advice_to_give_the_folder():
    with pytest.raises(NotThreeDimensional, match=r"“1.dcm” is one slice of a series: .* Give the folder"):
        read_volume(SERIES / "1.dcm")


def test_dicom_without_pixels_is_refused(tmp_path):
    def remove(data_set: Dataset) -> None:
        del data_set.Rows

    with pytest.raises(UnreadableInput, match="without pixels"):
        read_volume(enhanced(tmp_path, remove))


@pytest.mark.parametrize("coloured", [range(32), [9]], ids=["all", "one"])
def test_colours_are_refused_in_one_slice_as_in_all(tmp_path, coloured):
    def change(data_set: Dataset, index: int) -> None:
        if index in coloured:
            data_set.SamplesPerPixel = 3
            data_set.PlanarConfiguration = 0
            data_set.PhotometricInterpretation = "RGB"
            data_set.PixelData *= 3

    with pytest.raises(VectorVoxels, match="3 values"):
        read_volume(changed("hippocampus_mr", tmp_path, change))


@pytest.mark.parametrize("kept", [0, 100, 140, 400, 600, 1000, 1100, 3000])
def test_a_file_that_was_cut_short_is_refused_and_nothing_else_is_printed(tmp_path, capfd, kept):
    changed("hippocampus_mr", tmp_path / "series", as_it_is)
    path = tmp_path / "series" / "004.dcm"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableInput, match=r"“(004.dcm|series)”"):
        read_volume(tmp_path / "series")
    assert capfd.readouterr() == ("", "")


def test_compressed_pixels_that_are_damaged_are_refused_and_nothing_else_is_printed(tmp_path, capfd):
    shutil.copytree(REAL / "ct_jpeg2000", tmp_path / "ct")
    path = tmp_path / "ct" / "a.dcm"
    path.write_bytes(path.read_bytes()[:-5000] + bytes(5000))
    with pytest.raises(UnreadableInput, match="pixels in “ct” cannot be read"):
        read_volume(tmp_path / "ct")
    assert capfd.readouterr() == ("", "")


def test_a_slice_with_fewer_pixels_than_its_rows_and_columns_is_refused_by_name(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        if index == 9:
            data_set.PixelData = data_set.PixelData[:2000]

    with pytest.raises(UnreadableInput, match=r"“009.dcm” is damaged"):
        read_volume(changed("hippocampus_mr", tmp_path, change))


def test_an_enhanced_file_with_fewer_pixels_than_its_frames_is_refused(tmp_path):
    def change(data_set: Dataset) -> None:
        data_set.PixelData = data_set.PixelData[:-2]

    with pytest.raises(UnreadableInput, match=r"“enhanced.dcm” is damaged"):
        read_volume(enhanced(tmp_path, change))


@contextmanager
def without_roots_rights() -> Iterator[None]:
    """Root may read every folder: be nobody for a while."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no such rights there")
def test_a_folder_in_the_series_that_cannot_be_listed_is_refused_by_name(tmp_path, monkeypatch):
    changed("hippocampus_mr", tmp_path / "study" / "first", as_it_is)
    (tmp_path / "study" / "second").mkdir()
    monkeypatch.chdir(tmp_path / "study")  # a relative path, since the folders above belong to who runs the test
    for folder in (Path(), Path("first")):
        folder.chmod(0o755)
    read_volume(Path())
    Path("second").chmod(0)
    try:
        with without_roots_rights(), pytest.raises(UnreadableInput, match="“second” cannot be read: Permission denied"):
            read_volume(Path())
    finally:
        Path("second").chmod(0o755)


def test_damaged_files_of_other_series_do_not_matter(study):
    for place, name in (("a", "004.dcm"), ("b", "other.dcm")):
        shutil.copy(study / "a" / "005.dcm", study / place / name)
        (study / place / name).write_bytes((study / place / name).read_bytes()[:-100])
    assert_equal(read_volume(study, "301"), read_volume(ENHANCED))  # their UID tells that they are of series 5
    with pytest.raises(UnreadableInput, match=r"“004.dcm” is damaged"):
        read_volume(study, "5")


def test_a_damaged_file_without_a_uid_counts_to_the_series_beside_which_it_lies(study):
    (study / "a" / "lost.dcm").write_bytes((study / "a" / "004.dcm").read_bytes()[:500])
    assert_equal(read_volume(study, "301"), read_volume(ENHANCED))
    with pytest.raises(UnreadableInput, match=r"“lost.dcm” is damaged"):
        read_volume(study, "5")


@pytest.mark.parametrize("kept", ["group 2", "group 8", "group 8, implicit"])
def test_files_without_preamble_are_read(tmp_path, kept):
    def change(data_set: Dataset, index: int) -> None:
        if "implicit" in kept:
            data_set.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    for path in changed("hippocampus_mr", tmp_path, change).iterdir():
        start = 132 if kept == "group 2" else 144 + dcmread(path).file_meta.FileMetaInformationGroupLength
        path.write_bytes(path.read_bytes()[start:])
    assert_equal(read_volume(tmp_path), read_volume(SERIES))


def test_slices_of_different_pixel_types_keep_their_values(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        data_set.PixelRepresentation = 1 if index < 16 else 0
        if index >= 16:
            data_set.PixelData = (data_set.pixel_array.astype(np.uint16) + 40000).tobytes()

    volume = read_volume(changed("hippocampus_mr", tmp_path, change))
    np.testing.assert_array_equal(volume.array[..., :16], read_volume(SERIES).array[..., :16])
    np.testing.assert_array_equal(volume.array[..., 16:], read_volume(SERIES).array[..., 16:] + 40000.0)


def test_a_description_becomes_a_name_on_one_line(tmp_path):
    def change(data_set: Dataset, index: int) -> None:
        data_set.SpecificCharacterSet = "ISO_IR 192"
        data_set.SeriesDescription = "Kopf \x1b[31m\nжμ\u202e"

    assert read_volume(changed("hippocampus_mr", tmp_path, change)).name == "Kopf [31m жμ"


@pytest.mark.parametrize(
    "source", [SERIES / "1.dcm", ENHANCED, REAL / "ct_jpeg2000" / "a.dcm"], ids=lambda path: path.name
)
def test_any_damage_ends_in_a_typed_error_or_a_volume(tmp_path, capfd, source):
    shutil.copytree(source.parent, tmp_path / "series")
    target, whole = tmp_path / "series" / source.name, source.read_bytes()
    random = np.random.default_rng(0)
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    read = 0
    for _ in range(60):
        target.write_bytes(mutated(whole, pixels + 12, random))
        try:
            read += read_volume(target if len(list(target.parent.iterdir())) == 1 else target.parent).array.size > 0
        except TransformerSegError:
            continue
    assert 0 < read < 60
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("tag", ["PixelSpacing", "ImageOrientationPatient", "Columns"])
def test_a_slice_whose_place_is_incomplete_is_refused(tmp_path, tag):
    def change(data_set: Dataset, index: int) -> None:
        if index == 9:
            delattr(data_set, tag)

    with pytest.raises(UnreadableInput, match=r"“009.dcm” is damaged"):
        read_volume(changed("hippocampus_mr", tmp_path, change))
