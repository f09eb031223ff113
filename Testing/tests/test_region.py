"""A region of interest, in millimetres, becomes the voxels in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.errors import RegionRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.region import Region, read_region
from TransformerSegLib.inference.volume import Volume

DATA = Path(__file__).parents[1] / "data" / "geometry"
TURNED_ROI = DATA / "turned_roi.mrk.json"


def volume(affine: np.ndarray | None = None, shape: tuple[int, int, int] = (30, 40, 50)) -> Volume:
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    return Volume(array, np.eye(4) if affine is None else affine, "head")


def turned(seed: int = 0, spacing: tuple[float, float, float] = (1.0, 1.5, 2.0)) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = (10, -20, 30)
    return affine


def inside_by_definition(region: Region, head: Volume) -> np.ndarray:
    """For every voxel of the volume, whether its centre lies in the region."""
    index = np.moveaxis(np.indices(head.array.shape), 0, -1)
    places = index @ head.affine[:3, :3].T + head.affine[:3, 3]
    return (np.abs((places - region.center) @ region.axes) <= region.size / 2 + 1e-6).all(axis=-1)


def bounds(inside: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in np.nonzero(inside))


# ---------------------------------------------------------------------------------------------------- reading


def test_six_numbers_are_bounds_in_ras_in_either_order():
    for text in ("-10,20,0,40,5.5,7", "20,-10,40,0,7,5.5"):
        region = read_region(text)
        np.testing.assert_allclose(region.center, [5, 20, 6.25])
        np.testing.assert_allclose(region.size, [30, 40, 1.5])
        np.testing.assert_allclose(region.axes, np.eye(3))


def test_a_region_of_slicer_has_the_centre_size_and_axes_of_its_node():
    region = read_region(TURNED_ROI)  # made in Slicer with these numbers, in RAS
    np.testing.assert_allclose(region.center, [10, 20, 30])
    np.testing.assert_allclose(region.size, [40, 50, 60])
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(region.axes, [[c, -s, 0], [s, c, 0], [0, 0, 1]])


def roi_file(path: Path, **changes: object) -> Path:
    content = json.loads(TURNED_ROI.read_text())
    content["markups"][0].update(changes)
    path.write_text(json.dumps(content))
    return path


def test_a_region_in_ras_is_read_as_it_is_written(tmp_path):
    axes = [1.0, 0, 0, 0, 0, -1.0, 0, 1.0, 0]
    region = read_region(str(roi_file(tmp_path / "a.mrk.json", coordinateSystem="RAS", orientation=axes)))
    np.testing.assert_allclose(region.center, [-10, -20, 30])
    np.testing.assert_allclose(region.axes.ravel(), axes)


@pytest.mark.parametrize(("number", "name"), [(0, "RAS"), ("0", "RAS"), (1, "LPS"), ("1", "LPS")])
def test_the_numbers_of_old_versions_of_slicer_mean_the_same_coordinate_systems(tmp_path, number, name):
    old = read_region(roi_file(tmp_path / "old.mrk.json", coordinateSystem=number))
    new = read_region(roi_file(tmp_path / "new.mrk.json", coordinateSystem=name))
    np.testing.assert_array_equal(old.center, new.center)
    np.testing.assert_array_equal(old.axes, new.axes)


def test_millimetres_may_be_written_as_a_code_with_its_meaning(tmp_path):
    units = ["mm", "UCUM", "millimeter"]
    region = read_region(roi_file(tmp_path / "a.mrk.json", coordinateUnits=units))
    np.testing.assert_array_equal(region.center, read_region(TURNED_ROI).center)


@pytest.mark.parametrize(
    "text", ["-1e308,1e308,0,1,0,1", "1,2,3,4,5", "1,2,3,4,5,6,7", "a,b,c,d,e,f", "", "1,2,3,4,5,nan", "1,1,2,3,4,5"]
)
def test_other_numbers_are_refused(text):
    with pytest.raises(RegionRejected, match="x1,x2,y1,y2,z1,z2 in RAS millimetres"):
        read_region(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Fiducial"},
        {"roiType": "Sphere"},
        {"insideOut": True},
        {"center": None},
        {"center": [1, 2]},
        {"size": [0, 1, 1]},
        {"size": "large"},
        {"orientation": [1, 0, 0, 1, 0, 0, 0, 0, 1]},
        {"center": [1e300, 0, 0]},
        {"center": [10**400, 0, 0]},
        {"coordinateSystem": "IJK"},
        {"coordinateSystem": "lps"},
        {"coordinateSystem": None},
        {"coordinateSystem": 2},
        {"coordinateUnits": "um"},
        {"coordinateUnits": ["um", "UCUM", "micrometer"]},
        {"coordinateUnits": None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_markups_file_without_a_box_is_refused(tmp_path, changes):
    with pytest.raises(RegionRejected):
        read_region(roi_file(tmp_path / "a.mrk.json", **changes))


DEEP = '{"markups": ' + "[" * 100_000


@pytest.mark.parametrize(
    "content",
    [DEEP, '{"markups": [[]]}', "", "{", "[]", "{}", '{"markups": []}', '{"markups": [1]}', '{"markups": {}}'],
    ids=lambda content: content[:20],
)
def test_a_json_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "a.mrk.json").write_text(content)
    with pytest.raises(RegionRejected, match=r"“a.mrk.json”"):
        read_region(tmp_path / "a.mrk.json")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RegionRejected):
        read_region(tmp_path / "a.mrk.json")


# ---------------------------------------------------------------------------------------------------- cropping


def test_the_voxels_whose_centres_are_inside_are_kept():
    crop = read_region("2.5,7.5,3,8,-100,100").crop(volume())
    assert crop.box == (slice(3, 8), slice(3, 9), slice(0, 50))
    assert not crop.has_corners_outside


def test_flipped_and_permuted_axes_are_followed():
    affine = np.array([[0, 0, -2.0, 20], [1.0, 0, 0, -5], [0, 3.0, 0, 0], [0, 0, 0, 1]])
    head = volume(affine)
    region = read_region("-31,11,0,5,9,30")
    crop = region.crop(head)
    assert crop.box == bounds(inside_by_definition(region, head)) == (slice(5, 11), slice(3, 11), slice(5, 26))
    assert not crop.has_corners_outside


def assert_cropped_tightly(region: Region, head: Volume) -> None:
    """The box is the smallest with all voxels inside, and the mask is the definition's."""
    expected = inside_by_definition(region, head)
    crop = region.crop(head)
    assert crop.box == bounds(expected)
    assert crop.has_corners_outside
    np.testing.assert_array_equal(region.inside(head.affine, crop.box), expected[crop.box])


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_volume_is_cropped_to_the_smallest_box_with_all_voxels_inside(seed):
    head = volume(turned(seed))
    middle = head.affine[:3] @ [14, 20, 25, 1]
    assert_cropped_tightly(Region(middle + 3, np.array([17.0, 21.0, 13.0]), np.eye(3)), head)


def test_a_turned_region_on_a_straight_volume_is_cropped_likewise():
    assert_cropped_tightly(read_region(TURNED_ROI), volume(np.diag([1.0, 1.0, 1.5, 1.0])))


def test_the_mask_can_be_taken_slab_by_slab():
    head, region = volume(), read_region(TURNED_ROI)
    whole = region.inside(head.affine, (slice(0, 30), slice(0, 40), slice(0, 50)))
    slabs = [region.inside(head.affine, (slice(i, i + 10), slice(0, 40), slice(0, 50))) for i in (0, 10, 20)]
    np.testing.assert_array_equal(np.concatenate(slabs), whole)


def test_a_region_turned_like_the_volume_needs_no_mask():
    head = volume(turned())
    axes = head.affine[:3, :3] / head.spacing
    region = Region(head.affine[:3] @ [10, 10, 10, 1], np.array([4.1, 6.1, 8.1]), axes)
    crop = region.crop(head)
    assert crop.box == (slice(8, 13), slice(8, 13), slice(8, 13))
    assert not crop.has_corners_outside
    assert region.inside(head.affine, crop.box).all()


def test_the_part_that_is_cut_out_lies_where_it_lay():
    head = read_volume(DATA / "oblique_flair.nii.gz")
    place = head.affine[:3] @ [20, 24, 20, 1]
    crop = Region(place, np.array([15.0, 15.0, 15.0]), np.eye(3)).crop(head)
    part = crop.cut(head)
    assert part.array.flags.c_contiguous
    assert part.array.dtype == head.array.dtype
    assert (part.name, part.modality) == (head.name, head.modality)
    index = np.linalg.inv(part.affine) @ [*place, 1]
    np.testing.assert_allclose(index, np.rint(index), atol=1e-6)
    assert part.array[tuple(np.rint(index[:3]).astype(int))] == head.array[20, 24, 20]


@pytest.mark.parametrize("region", ["100,120,0,10,0,10", "-50,-1,0,10,0,10", "0,10,0,10,49.5,60", "0,10,0,10,3.8,4.6"])
def test_a_region_that_misses_the_volume_or_leaves_a_slice_is_refused_with_the_volumes_place(region):
    with pytest.raises(RegionRejected, match=r"Place it on the volume, R -0.5 to 29.5, A -0.5 to 39.5, S -0.5 to 49.5"):
        read_region(region).crop(volume())


def test_a_turned_region_that_touches_no_voxel_is_refused():
    region = Region(np.array([-4.0, -4.0, -4.0]), np.array([8.0, 1.0, 1.0]), turned()[:3, :3] / (1, 1.5, 2))
    assert not inside_by_definition(region, volume()).any()
    with pytest.raises(RegionRejected):
        region.crop(volume())
