"""The body is found by its voxels alone; what lies around it is not segmented, and that is said where it may matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import NormalizeIntensity, OutputPlan, ScaleIntensityRange, Spacing, WindowPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import Cancelled
from TransformerSegLib.inference.body import MARGIN_MM, crop_to_body, looks_for_body, told_cut
from TransformerSegLib.inference.memory import estimate
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.progress import CancelToken, Progress, Stage
from TransformerSegLib.inference.region import Crop
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
from TransformerSegLib.inference.volume import Volume

from bundle_factory import write_bundle

AIR, TISSUE = -1000, 40
SHAPE = (90, 100, 80)
BODY = (slice(40, 60), slice(30, 60), slice(25, 50))


def ct(body: tuple[slice, ...] = BODY, spacing: float = 2.0) -> Volume:
    array = np.full(SHAPE, AIR, np.int16)
    array[body] = TISSUE + np.arange(array[body].size).reshape(array[body].shape) % 7
    return Volume(array, np.diag([spacing, spacing, spacing, 1.0]), "body", "CT")


def sides(crop: Crop) -> list[tuple[int, int]]:
    return [(extent.start, extent.stop) for extent in crop.box]


def test_the_body_is_kept_with_a_margin_on_all_sides():
    margin = MARGIN_MM / 2.0
    expected = [(extent.start - margin, extent.stop + margin) for extent in BODY]
    assert sides(crop_to_body([ct()])) == expected


def test_a_table_beside_the_patient_is_left_out():
    volume = ct()
    array = volume.array.copy()
    array[85:88, 40:60, :] = TISSUE
    small = replace(volume, array=array)
    body = crop_to_body([volume])
    assert sides(crop_to_body([small]))[0] == sides(body)[0]


def test_the_margin_ends_with_the_volume():
    crop = crop_to_body([ct((slice(0, 20), *BODY[1:]))])
    assert sides(crop)[0][0] == 0


def test_of_thick_slices_every_one_is_looked_at():
    volume = ct()
    thick = replace(volume, affine=np.diag([0.5, 0.5, 5.0, 1.0]))
    start, stop = sides(crop_to_body([thick]))[2]
    assert (start, stop) == (BODY[2].start - 4, BODY[2].stop + 4)
    fine_start, fine_stop = sides(crop_to_body([thick]))[0]
    assert fine_start <= BODY[0].start - MARGIN_MM / 0.5 <= fine_start + 6 or fine_start == 0
    assert fine_stop == SHAPE[0]


@pytest.mark.parametrize("filled", [(slice(0, 90),) * 3, (slice(2, 88), slice(2, 98), slice(2, 78))])
def test_a_volume_that_the_body_fills_stays_whole(filled: tuple[slice, ...]):
    assert crop_to_body([ct(filled)]) is None


def test_without_a_body_the_volume_stays_whole():
    noise = np.random.default_rng(0).integers(AIR, AIR + 20, SHAPE).astype(np.int16)
    assert crop_to_body([replace(ct(), array=noise)]) is None


def cylinder(array: np.ndarray, centre: tuple[float, float], radius: float, depth: slice = slice(None)) -> None:
    """Of tissue, upright, in voxels."""
    i, j = np.ogrid[: array.shape[0], : array.shape[1]]
    inside = (i - centre[0]) ** 2 + (j - centre[1]) ** 2 <= radius**2
    array[..., depth][inside] = TISSUE


def box_of(array: np.ndarray, spacing: float) -> list[tuple[int, int]]:
    return sides(crop_to_body([Volume(array, np.diag([spacing, spacing, spacing, 1.0]), "body", "CT")]))


def test_of_two_legs_with_air_between_them_both_are_kept():
    array = np.full((230, 110, 40), AIR, np.int16)
    cylinder(array, (55, 55), 26)
    cylinder(array, (145, 55), 25)
    (start, stop), *_ = box_of(array, 1.5)
    assert start <= 55 - 26 - MARGIN_MM / 1.5
    assert stop >= 145 + 25 + MARGIN_MM / 1.5


def test_an_arm_and_a_finger_beside_the_trunk_are_kept():
    array = np.full((260, 120, 60), AIR, np.int16)
    cylinder(array, (70, 60), 50)
    cylinder(array, (150, 60), 14)
    (start, stop), *_ = box_of(array, 2.0)
    assert (start, stop) == (70 - 50 - 10, 150 + 14 + 10 + 1)
    cylinder(array, (190, 60), 4.5, slice(10, 50))
    assert box_of(array, 2.0)[0][1] == 190 + 4 + 10 + 1


def test_a_cable_is_left_out():
    array = np.full((260, 120, 60), AIR, np.int16)
    cylinder(array, (70, 60), 50)
    cylinder(array, (220, 60), 2)
    assert box_of(array, 2.0)[0][1] == 70 + 50 + 10 + 1


@pytest.mark.parametrize("modality", ["MR", "PT", None])
def test_only_a_ct_tells_air_by_its_numbers_and_all_else_stays_whole(modality: str | None):
    window = WindowPlan((32, 32, 32))
    assert looks_for_body(Preset.FAST, window, "CT", has_region=False)
    assert not looks_for_body(Preset.FAST, window, modality, has_region=False)
    assert not looks_for_body(Preset.FAST, window, "CT", has_region=True)
    assert not looks_for_body(Preset.STANDARD, window, "CT", has_region=False)


def test_slices_of_an_mr_that_are_far_from_the_coil_are_looked_at(tmp_path):
    bundle = read_bundle(write_bundle(tmp_path / "model", preparation=(), output=OutputPlan()))
    fall_off = np.exp(-(((np.arange(SHAPE[2]) - 10) / 12.0) ** 2))
    array = np.random.default_rng(0).random(SHAPE) * 0.02
    array[BODY[0], BODY[1]] += fall_off
    volume = Volume(array, np.diag([2.0, 2.0, 2.0, 1.0]), "spine", "MR")
    expected = estimate(bundle, SHAPE, volume.affine, Preset.FAST)
    assert expected.in_words(Placement("cpu", "cpu", 1)) in told_before_preparing(bundle, volume)


def told_before_preparing(bundle: Bundle, volume: Volume) -> list[str]:
    """By a fast run, which is then cancelled."""
    told, cancel = [], CancelToken()

    def on_progress(progress: Progress) -> None:
        told.append(progress.note)
        if progress.stage is Stage.PREPARE:
            cancel.cancel()

    options = SegmentOptions(preset=Preset.FAST, accept_mismatch=True)
    with pytest.raises(Cancelled):
        Segmenter(bundle, "cpu", options).segment([volume], on_progress, cancel)
    return told


def test_what_is_tissue_in_any_input_is_body():
    other = ct((BODY[0], BODY[1], slice(20, 25)))
    start, stop = sides(crop_to_body([ct(), other]))[2]
    assert (start, stop) == (20 - 10, 50 + 10)


def test_it_is_the_same_each_time():
    assert sides(crop_to_body([ct()])) == sides(crop_to_body([ct()]))


def segmentation(*filled: tuple[slice, ...] | None) -> Segmentation:
    layer, segments = np.zeros(SHAPE, np.uint8), []
    for label, part in enumerate(filled, 1):
        if part is not None:
            layer[part] = label
        definition = SegmentClass(label=label, channel=label, name=f"class {label}", color=(0, 0, 0))
        segments.append(Segment(definition, 0, 0.0 if part is None else 1.0))
    return Segmentation((layer,), np.eye(4), tuple(segments), "found", {})


def test_a_class_at_the_edge_of_the_crop_and_one_that_is_missing_are_told():
    crop = Crop((slice(10, 50), slice(0, 100), slice(10, 40)), has_corners_outside=False)
    inside = (slice(20, 30),) * 3
    (left_out,) = told_cut(segmentation(inside), crop)
    assert left_out == "Looked only at the body: 17 % of the volume. “Standard” looks at all of it."
    at_the_volumes_own_end = (slice(20, 30), slice(0, 10), slice(20, 30))
    assert told_cut(segmentation(at_the_volumes_own_end), crop) == (left_out,)
    at_the_edge = (slice(45, 50), slice(20, 30), slice(20, 30))
    *_, cut, missing = told_cut(segmentation(inside, at_the_edge, None), crop)
    assert cut == "class 2 reaches the edge of what was looked at, and may be cut off there."
    assert missing == "Not found in what was looked at: class 3."


@pytest.mark.parametrize("spacing", [(), (Spacing((3.0, 3.0, 3.0)),)])
def test_intensities_are_measured_on_the_whole_volume(spacing: tuple[Spacing, ...]):
    volume = ct()
    crop = crop_to_body([volume])
    cut = crop.cut(volume)
    steps = (*spacing, NormalizeIntensity())
    alone, beside = prepare([cut], steps), prepare([cut], steps, measure_on=[volume])
    whole = prepare([volume], steps)
    middle = tuple(slice(size // 2, size // 2 + 1) for size in beside.shape)
    assert beside.shape == alone.shape
    value = float(beside.at(middle).min())
    brightest = float(whole.at((slice(None),) * 3).max())
    assert value == pytest.approx(brightest, rel=0.05)
    assert float(alone.at(middle).min()) < 0.9 * value


def test_a_crop_measures_nothing_twice_where_nothing_is_measured():
    volume = ct()
    cut = crop_to_body([volume]).cut(volume)
    steps = (ScaleIntensityRange(-1000, 1000, 0.0, 1.0, clip=True),)
    everywhere = (slice(None),) * 3
    found, expected = prepare([cut], steps, measure_on=[volume]).at(everywhere), prepare([cut], steps).at(everywhere)
    assert bool((found == expected).all())


def test_a_fast_run_looks_at_the_body_alone_and_puts_it_back_in_its_place(tmp_path):
    bundle = read_bundle(write_bundle(tmp_path / "model", preparation=(), output=OutputPlan()))
    volume = ct()
    fast = Segmenter(bundle, "cpu", SegmentOptions(preset=Preset.FAST, accept_mismatch=True)).segment([volume])
    box = crop_to_body([volume]).box
    assert fast.provenance["options"]["looked_at"] == [[extent.start, extent.stop] for extent in box]
    (labels,) = fast.layers
    assert labels.shape == SHAPE
    assert labels[box].any()
    outside = labels.copy()
    outside[box] = 0
    assert not outside.any()
    assert any("Looked only at the body" in note for note in fast.provenance["notes"])
    assert any("the edge of what was looked at" in note for note in fast.provenance["notes"])
    cut = crop_to_body([volume]).cut(volume)
    alone = Segmenter(bundle, "cpu", SegmentOptions(preset=Preset.FAST, accept_mismatch=True)).segment([cut])
    assert np.array_equal(labels[box], alone.layers[0])


def test_classes_that_nobody_wants_are_not_told_to_be_missing(tmp_path):
    bundle = read_bundle(write_bundle(tmp_path / "model", preparation=(), output=OutputPlan()))
    names = [definition.name for definition in bundle.card.classes]
    options = SegmentOptions(preset=Preset.FAST, accept_mismatch=True, classes=(names[0],))
    fast = Segmenter(bundle, "cpu", options).segment([ct()])
    assert [segment.definition.name for segment in fast.segments] == names[:1]
    assert fast.provenance["options"]["classes"] == names[:1]
    assert not any(name in note for name in names[1:] for note in fast.provenance["notes"])


def test_the_estimate_of_a_part_counts_the_labels_and_the_measuring_of_the_whole(tmp_path):
    steps = (Spacing((1.0, 1.0, 1.0)), NormalizeIntensity(nonzero=True))
    bundle = read_bundle(write_bundle(tmp_path / "model", preparation=steps, output=OutputPlan()))
    volume = ct()
    cut = crop_to_body([volume]).cut(volume)
    alone = estimate(bundle, cut.array.shape, cut.affine, Preset.FAST)
    part = estimate(bundle, cut.array.shape, cut.affine, Preset.FAST, whole_shape=SHAPE)
    whole = estimate(bundle, SHAPE, volume.affine, Preset.FAST)
    assert part.windows == alone.windows < whole.windows
    assert part.image_and_labels - alone.image_and_labels == volume.array.size - cut.array.size
    assert whole.preparing < part.preparing < 1.3 * whole.preparing
    assert part.in_words(Placement("cpu", "cpu", 1)) in told_before_preparing(bundle, volume)
