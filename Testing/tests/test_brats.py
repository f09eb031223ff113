"""Four images and three regions that overlap, as Swin UNETR takes and finds them in the BraTS data.

On images made from one real MR; and on a real case, where it lies beside the checkout.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import slicer
import torch

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import NormalizeIntensity, Orientation, WindowPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.inference.assigning import Told, assign
from TransformerSegLib.inference.grids import bring_together
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.volumes import add_volume_node

from four_images import (
    REAL_CASE,
    REGIONS,
    cropped,
    finer,
    made_images,
    padded,
    real_images,
    shifted,
    smoothed,
    turned,
    write_tumour_bundle,
)
from mrml_reading import mask_on_grid
from scene_runs import masks, put
from stock_monai import KEY, as_metatensor, preprocessing
from stock_monai import segment as by_monai

PREPARATION = (Orientation("RAS"), NormalizeIntensity(nonzero=True, channel_wise=True))
SAME_REGIONS = 0.95
"""Dice of a region found on interpolated images with the one found on the images themselves."""

needs_real_case = pytest.mark.skipif(not REAL_CASE.is_dir(), reason="the real case does not lie beside the checkout")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "tumour"
    return read_bundle(write_tumour_bundle(folder, WindowPlan((64, 64, 32), 1, (0.25, 0.25, 0.25))))


@pytest.fixture(scope="module")
def images() -> list[Volume]:
    return made_images()


@pytest.fixture(scope="module")
def found(bundle, images) -> Segmentation:
    return Segmenter(bundle, "cpu").segment(images)


def regions(segmentation: Segmentation) -> np.ndarray:
    """(3, I, J, K), boolean."""
    return np.stack([segmentation.mask(segment) for segment in segmentation.segments])


def dice(one: np.ndarray, other: np.ndarray) -> list[float]:
    return [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(one, other, strict=True)]


def test_three_regions_that_overlap_are_those_of_monai(bundle, images, found):
    expected = by_monai(as_metatensor(images), bundle.plan, bundle.network())
    assert (regions(found) == expected).mean() >= 0.99999
    assert [segment.definition.name for segment in found.segments] == list(REGIONS)
    assert len(found.layers) == 3, "each overlaps both others"
    assert (expected.sum(axis=0) == 3).any()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_given_never_matters(bundle, images, order):
    given = [images[number] for number in order]
    assignment = assign([(image.name,) for image in given], {}, bundle.card)
    assert assignment.told is Told.BY_NAME
    assert [given[number] for number in assignment.order] == images


OTHER_GRIDS: dict[str, Callable[[Volume], Volume]] = {
    "turned": lambda image: turned(image, (1, 2, 0), (-1, 1, -1)),
    "mirrored": lambda image: turned(image, (0, 1, 2), (-1, -1, 1)),
    "padded": lambda image: padded(image, (5, 0, 2), (0, 7, 3)),
    "cropped": cropped,
    "all of it": lambda image: turned(padded(cropped(image), (0, 3, 1), (2, 0, 0)), (2, 1, 0), (1, -1, -1)),
}


@pytest.mark.parametrize("place", [1, 3])
@pytest.mark.parametrize("other_grid", OTHER_GRIDS.values(), ids=OTHER_GRIDS)
def test_an_image_on_another_grid_of_the_same_voxels_reaches_the_network_bit_by_bit(images, other_grid, place):
    given = [other_grid(image) if number == place else image for number, image in enumerate(images)]
    assert given[place].array.shape != images[0].array.shape or not np.allclose(given[place].affine, images[0].affine)
    everything = (slice(None),) * 3
    prepared = [prepare(bring_together(volumes), PREPARATION).at(everything) for volumes in (given, images)]
    assert torch.equal(*prepared)


def test_the_regions_are_the_same_bit_by_bit_when_all_but_the_first_lie_on_other_grids(bundle, images, found):
    given = [images[0], *map(lambda change, image: change(image), list(OTHER_GRIDS.values())[2:], images[1:])]
    assert np.array_equal(regions(Segmenter(bundle, "cpu").segment(given)), regions(found))


def test_the_regions_are_nearly_the_same_on_a_grid_between_the_voxels(bundle, images):
    """Of smooth images: interpolation takes detail away, and random weights follow every detail."""
    smooth = [smoothed(image) for image in images]
    expected = regions(Segmenter(bundle, "cpu").segment(smooth))
    last = turned(shifted(smooth[3], 0.5), (2, 0, 1), (1, -1, 1))
    given = [smooth[0], shifted(smooth[1], 0.5), finer(smooth[2], 1.5), last]
    assert min(dice(regions(Segmenter(bundle, "cpu").segment(given)), expected)) > SAME_REGIONS


def test_a_first_image_with_turned_axes_gives_the_same_regions_turned(bundle, images, found):
    given = [turned(images[0], (1, 2, 0), (1, -1, 1)), *images[1:]]
    segmentation = Segmenter(bundle, "cpu").segment(given)
    layers = tuple(turned(replace(given[0], array=layer), (2, 0, 1), (1, 1, -1)).array for layer in segmentation.layers)
    back = regions(replace(segmentation, layers=layers))
    assert (back == regions(found)).mean() >= 0.99999


def test_the_regions_are_three_segments_in_a_file_for_slicer(found, images, tmp_path):
    write_segmentation(tmp_path / "regions.seg.nrrd", found)
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(str(tmp_path / "regions.seg.nrrd"))
        assert storage.ReadData(node)
        segmentation = node.GetSegmentation()
        assert segmentation.GetNumberOfLayers() == 3
        assert [segmentation.GetNthSegment(number).GetName() for number in range(3)] == list(REGIONS)
        for number, mask in enumerate(regions(found)):
            segment_id = segmentation.GetNthSegmentID(number)
            np.testing.assert_array_equal(mask_on_grid(node, segment_id, mask.shape, images[0].affine), mask)


def test_the_regions_are_three_label_maps_along_a_fourth_axis_of_a_nifti_file(found, images, tmp_path):
    write_segmentation(tmp_path / "regions.nii.gz", found)
    image = nibabel.load(tmp_path / "regions.nii.gz")
    maps = np.asarray(image.dataobj)
    assert maps.shape == (*images[0].array.shape, 3)
    np.testing.assert_allclose(image.affine, images[0].affine, atol=1e-5)
    for segment, mask in zip(found.segments, regions(found), strict=True):
        np.testing.assert_array_equal(maps[..., segment.layer] == segment.definition.label, mask)


def test_the_regions_are_three_segments_in_the_scene(found, images):
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        node = put(scene, found, add_volume_node(scene, images[0])).node
        assert isinstance(node, slicer.vtkMRMLSegmentationNode)
        assert node.GetSegmentation().GetNumberOfLayers() == 3
        in_scene = masks(node, images[0].affine, images[0].array.shape)
        for mask, expected in zip(in_scene.values(), regions(found), strict=True):
            np.testing.assert_array_equal(mask, expected)


# ------------------------------------------------------------------------------------------------ the real case


@needs_real_case
def test_the_real_case_is_scaled_as_monai_does_to_the_last_bit():
    images = real_images()
    expected = preprocessing(PREPARATION)({KEY: as_metatensor(images)})[KEY]
    tracemalloc.start()
    prepared = prepare(images, PREPARATION)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert torch.equal(prepared.at((slice(None),) * 3), expected.as_tensor())
    assert peak < 5 * expected.numel() * expected.element_size()  # NumPy's share; torch's own memory is not traced


@needs_real_case
def test_in_the_real_case_the_regions_are_those_of_monai_and_the_same_on_other_grids(tmp_path):
    box = np.s_[72:168, 100:164, 50:114]
    bundle = read_bundle(write_tumour_bundle(tmp_path / "tumour", WindowPlan((64, 64, 64), 1, (0.5, 0.5, 0.5))))
    images = real_images(box)
    expected = by_monai(as_metatensor(images), bundle.plan, bundle.network())
    segmentation = Segmenter(bundle, "cpu").segment(images)
    assert (regions(segmentation) == expected).mean() >= 0.99999
    assert len(segmentation.layers) == 3
    margin = tuple(slice(side.start - 8, side.stop + 8) for side in box)
    wider = [turned(image, (2, 0, 1), (-1, 1, -1)) for image in real_images(margin)]
    on_other_grids = Segmenter(bundle, "cpu").segment([images[0], *wider[1:]])
    assert np.array_equal(regions(on_other_grids), regions(segmentation))
