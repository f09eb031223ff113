"""Volumes that no model can segment are refused; those that do not suit the model's card are named."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.card import Card, InputChannel, Requirements, SegmentClass
from TransformerSegLib.errors import (
    EmptyVolume,
    FieldOfViewMismatch,
    FieldOfViewTooLarge,
    InputMismatch,
    ModalityMismatch,
    NonFiniteVoxels,
    NotThreeDimensional,
    ShearedAffine,
    SingularAffine,
    SpacingMismatch,
    VectorVoxels,
    WrongNumberOfInputs,
)
from TransformerSegLib.inference.checks import (
    check_against_card,
    check_number_of_inputs,
    check_volume,
    raise_mismatches,
)
from TransformerSegLib.inference.hounsfield import cannot_be_hounsfield, looks_like_ct
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.volume import Volume

DATA = Path(__file__).parents[1] / "data"
CTS = [DATA / "totalsegmentator" / "example_ct_sm.nii.gz", DATA / "dicom" / "ct_jpeg2000"]
MRS = [
    DATA / "totalsegmentator" / "example_mr_sm.nii.gz",
    DATA / "hippocampus" / "hippocampus_037.nii.gz",
    DATA / "geometry" / "oblique_flair.nii.gz",
    DATA / "geometry" / "thick_slices.nrrd",
    DATA / "dicom" / "enhanced_mr",
]


def noise(shape: tuple[int, ...] = (6, 7, 8), dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def volume(array: np.ndarray | None = None, affine: np.ndarray | None = None, modality: str | None = None) -> Volume:
    return Volume(
        noise() if array is None else array, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine, "a", modality
    )


def card(inputs: int = 1, **requirements: object) -> Card:
    return Card(
        name="model",
        title="Model",
        version="1",
        description="",
        inputs=tuple(InputChannel(name=name) for name in ("T1", "T2", "FLAIR")[:inputs]),
        classes=(SegmentClass(label=1, channel=1, name="organ", color=(1, 0, 0)),),
        requirements=Requirements(**requirements),
    )


# ---------------------------------------------------------------------------------------------------- the volume itself


@pytest.mark.parametrize("path", CTS + MRS, ids=lambda path: path.name)
def test_real_volumes_pass(path):
    check_volume(read_volume(path))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float64])
def test_volumes_of_any_type_pass(dtype):
    check_volume(volume(noise(dtype=dtype)))


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 8, 2), (6, 7, 1), (1, 7, 8)])
def test_what_is_not_three_dimensional_is_refused(shape):
    with pytest.raises(NotThreeDimensional):
        check_volume(volume(noise(shape)))


@pytest.mark.parametrize("dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_several_numbers_a_voxel_are_refused(dtype):
    with pytest.raises(VectorVoxels):
        check_volume(volume(np.zeros((6, 7, 8), dtype)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_voxel_that_is_not_a_number_for_the_network_is_refused(value, dtype):
    array = noise(dtype=np.float64)
    array[3, 4, 5] = value
    with np.errstate(over="ignore"), pytest.raises(NonFiniteVoxels, match="“a” holds NaN or infinite values"):
        check_volume(volume(array.astype(dtype)))


@pytest.mark.parametrize("shape", [(0, 7, 8), (6, 7, 8)])
def test_an_empty_or_constant_volume_is_refused(shape):
    with pytest.raises(EmptyVolume):
        check_volume(volume(np.full(shape, 7, np.int16)))


@pytest.mark.parametrize(
    "columns",
    [
        [[1, 0, 0], [0, 1, 0], [0, 1, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [1, 1, 1e-5]],
        [[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, np.inf, 0], [0, 0, 1]],
    ],
)
def test_a_singular_affine_is_refused(columns):
    affine = np.eye(4)
    affine[:3, :3] = np.transpose(columns)
    with pytest.raises(SingularAffine):
        check_volume(volume(affine=affine))


def sheared(degrees: float) -> np.ndarray:
    """Turned, anisotropic, left-handed, and the slices stacked askew."""
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    tilt = np.eye(3)
    tilt[1, 2] = np.tan(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag([0.5, 0.5, 5])
    return affine


@pytest.mark.parametrize("degrees", [0.0, 0.05, -0.05])
def test_a_turned_affine_passes_and_rounding_is_no_shear(degrees):
    check_volume(volume(affine=sheared(degrees)))


@pytest.mark.parametrize("degrees", [0.2, -0.2, 14.0])
def test_a_sheared_affine_is_refused_with_its_angle(degrees):
    with pytest.raises(ShearedAffine, match=rf"{abs(degrees):.1f}° off a right angle"):
        check_volume(volume(affine=sheared(degrees)))


def test_checking_takes_no_copy_of_the_voxels():
    large = volume(noise((256, 256, 64)), modality="MR")
    requirements = card(modality="CT", spacing_mm=(1, 2), field_of_view_mm=(100, 300))
    unknown = replace(large, modality=None)
    tracemalloc.start()
    check_volume(large)
    check_against_card([large, unknown], requirements)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < large.array.nbytes / 8


# ---------------------------------------------------------------------------------------------------- the card


@pytest.mark.parametrize("given", [1, 3])
def test_another_number_of_volumes_than_the_model_takes_is_refused(given):
    with pytest.raises(WrongNumberOfInputs, match=rf"{given} volumes? given: “Model” needs 2: T1, T2"):
        check_number_of_inputs([volume()] * given, card(inputs=2))


def test_a_model_of_one_input_asks_for_one_volume():
    with pytest.raises(WrongNumberOfInputs, match=r"needs 1: T1\. Give one volume\.$"):
        check_number_of_inputs([volume()] * 2, card(inputs=1))


def test_the_right_number_of_volumes_passes():
    check_number_of_inputs([volume()] * 3, card(inputs=3))


def test_a_model_without_requirements_takes_everything():
    assert check_against_card([volume(modality="US")], card()) == []


@pytest.mark.parametrize(("modality", "wanted"), [("CT", "MR"), ("MR", "CT"), ("PT", "CT")])
def test_another_modality_by_dicom_is_a_mismatch(modality, wanted):
    (finding,) = check_against_card([volume(modality=modality)], card(modality=wanted))
    assert isinstance(finding, ModalityMismatch)
    assert f"“a” is {modality}: “Model” was trained on {wanted}" in str(finding)
    assert "--accept-mismatch" in finding.remedy


def test_the_modality_by_dicom_counts_whatever_the_intensities_are():
    assert check_against_card([volume(noise() - 1000, modality="MR")], card(modality="MR")) == []
    assert check_against_card([volume(noise(), modality="CT")], card(modality="CT")) == []


def without_modality(path: Path) -> Volume:
    return replace(read_volume(path), modality=None)


@pytest.mark.parametrize("path", CTS, ids=lambda path: path.name)
def test_a_real_ct_is_told_by_its_intensities(path):
    ct = without_modality(path)
    assert check_against_card([ct], card(modality="CT")) == []
    (finding,) = check_against_card([ct], card(modality="MR"))
    assert isinstance(finding, ModalityMismatch)
    assert "looks like CT" in finding.what


@pytest.mark.parametrize("path", MRS, ids=lambda path: path.name)
def test_a_real_mr_is_told_by_its_intensities(path):
    mr = without_modality(path)
    assert check_against_card([mr], card(modality="MR")) == []
    (finding,) = check_against_card([mr], card(modality="CT"))
    assert isinstance(finding, ModalityMismatch)
    assert "no voxel below −100" in finding.what


def test_where_intensities_leave_a_doubt_there_is_no_finding():
    phase = np.random.default_rng(0).integers(-4096, 4096, (40, 40, 40)).astype(np.int16)  # an MR phase image
    resampled_ct = read_volume(CTS[0]).array * np.float32(0.999)
    for array in (phase, resampled_ct):
        assert not looks_like_ct(array)
        assert not cannot_be_hounsfield(array)


@pytest.mark.parametrize(
    ("spacing", "fits"), [((1, 2), True), ((1.005, 1.99), True), ((1.5, 3), False), ((1, 1), False)]
)
def test_spacing_outside_the_cards_range_is_a_mismatch_on_any_axis(spacing, fits):
    findings = check_against_card([volume()], card(spacing_mm=spacing))
    assert [type(finding) for finding in findings] == ([] if fits else [SpacingMismatch])
    assert all("“a” has voxels of 1.0×1.0×2.0 mm" in finding.what for finding in findings)


@pytest.mark.parametrize(
    ("size", "kind", "remedy"),
    [
        ((6, 16), None, None),
        ((6, 12), FieldOfViewTooLarge, "--roi"),
        ((6.5, 20), FieldOfViewMismatch, "shows more"),
        ((16, 16), FieldOfViewMismatch, "shows more"),
    ],
)
def test_a_field_of_view_outside_the_cards_range_is_a_mismatch_on_any_axis(size, kind, remedy):
    findings = check_against_card([volume()], card(field_of_view_mm=size))
    assert [type(finding) for finding in findings] == ([kind] if kind else [])
    assert all("“a” is 6×7×16 mm" in finding.what and remedy in finding.remedy for finding in findings)
    assert all("--accept-mismatch" in finding.remedy for finding in findings)


def test_nothing_is_raised_where_nothing_was_found():
    raise_mismatches(check_against_card([volume()], card()))


def test_one_finding_is_raised_as_it_is():
    with pytest.raises(SpacingMismatch, match="--accept-mismatch"):
        raise_mismatches(check_against_card([volume()], card(spacing_mm=(3, 4))))


def test_several_findings_are_raised_in_one_sentence():
    findings = check_against_card([volume(modality="CT")], card(modality="MR", spacing_mm=(3, 4)))
    with pytest.raises(InputMismatch, match=r"“a” is CT; “a” has voxels of .*--accept-mismatch"):
        raise_mismatches(findings)


def test_every_volume_of_several_is_checked():
    findings = check_against_card([volume(modality="MR"), volume(modality="CT")], card(inputs=2, modality="MR"))
    assert [type(finding) for finding in findings] == [ModalityMismatch]
