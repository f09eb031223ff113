"""The body is found by its voxels alone; what lies around it is not segmented, and that is said where it may matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import NormalizeIntensity, OutputPlan, ScaleIntensityRange, Spacing
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.body import MARGIN_MM, crop_to_body, told_cut
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.presets import Preset
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
    assert sides(crop_to_body([ct()], "CT")) == expected


def test_a_table_beside_the_patient_is_left_out():
    volume = ct()
    array = volume.array.copy()
    array[85:88, 40:60, :] = TISSUE
    small = replace(volume, array=array)
    body = crop_to_body([volume], "CT")
    assert sides(crop_to_body([small], "CT"))[0] == sides(body)[0]


def test_the_margin_ends_with_the_volume():
    crop = crop_to_body([ct((slice(0, 20), *BODY[1:]))], "CT")
    assert sides(crop)[0][0] == 0


def test_of_thick_slices_every_one_is_looked_at():
    volume = ct()
    thick = replace(volume, affine=np.diag([0.5, 0.5, 5.0, 1.0]))
    start, stop = sides(crop_to_body([thick], "CT"))[2]
    assert (start, stop) == (BODY[2].start - 4, BODY[2].stop + 4)
    fine_start, fine_stop = sides(crop_to_body([thick], "CT"))[0]
    assert fine_start <= BODY[0].start - MARGIN_MM / 0.5 <= fine_start + 6 or fine_start == 0
    assert fine_stop == SHAPE[0]


@pytest.mark.parametrize("filled", [(slice(0, 90),) * 3, (slice(2, 88), slice(2, 98), slice(2, 78))])
def test_a_volume_that_the_body_fills_stays_whole(filled: tuple[slice, ...]):
    assert crop_to_body([ct(filled)], "CT") is None


def test_without_a_body_the_volume_stays_whole():
    noise = np.random.default_rng(0).integers(AIR, AIR + 20, SHAPE).astype(np.int16)
    assert crop_to_body([replace(ct(), array=noise)], "CT") is None


def test_in_mr_the_body_is_what_is_brighter_than_the_air_whatever_the_scale():
    generator = np.random.default_rng(0)
    for scale, offset in ((1.0, 0.0), (1000.0, -300.0)):
        array = generator.random(SHAPE) * 0.1
        array[BODY] += 0.6 + generator.random(array[BODY].shape)
        volume = Volume(array * scale + offset, np.diag([2.0, 2.0, 2.0, 1.0]), "MR", "MR")
        assert sides(crop_to_body([volume], "MR")) == sides(crop_to_body([ct()], "CT"))


def test_what_is_bright_in_any_input_is_body():
    array = np.zeros(SHAPE, np.float32)
    array[BODY[0], BODY[1], 20:25] = 1.0
    other = Volume(array, np.diag([2.0, 2.0, 2.0, 1.0]), "other", "MR")
    first = replace(other, array=(ct().array > AIR).astype(np.float32))
    start, stop = sides(crop_to_body([first, other], "MR"))[2]
    assert (start, stop) == (20 - 10, 50 + 10)


def test_it_is_the_same_each_time():
    assert sides(crop_to_body([ct()], "CT")) == sides(crop_to_body([ct()], "CT"))


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
    assert told_cut(segmentation(inside), crop) == ()
    at_the_volumes_own_end = (slice(20, 30), slice(0, 10), slice(20, 30))
    assert told_cut(segmentation(at_the_volumes_own_end), crop) == ()
    at_the_edge = (slice(45, 50), slice(20, 30), slice(20, 30))
    cut, missing = told_cut(segmentation(inside, at_the_edge, None), crop)
    assert "class 2" in cut
    assert "class 1" not in cut
    assert "class 3" in missing


@pytest.mark.parametrize("spacing", [(), (Spacing((3.0, 3.0, 3.0)),)])
def test_intensities_are_measured_on_the_whole_volume(spacing: tuple[Spacing, ...]):
    volume = ct()
    crop = crop_to_body([volume], "CT")
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
    cut = crop_to_body([volume], "CT").cut(volume)
    steps = (ScaleIntensityRange(-1000, 1000, 0.0, 1.0, clip=True),)
    everywhere = (slice(None),) * 3
    found, expected = prepare([cut], steps, measure_on=[volume]).at(everywhere), prepare([cut], steps).at(everywhere)
    assert bool((found == expected).all())


def test_a_fast_run_looks_at_the_body_alone_and_puts_it_back_in_its_place(tmp_path):
    bundle = read_bundle(write_bundle(tmp_path / "model", preparation=(), output=OutputPlan()))
    volume = ct()
    fast = Segmenter(bundle, "cpu", SegmentOptions(preset=Preset.FAST, accept_mismatch=True)).segment([volume])
    box = crop_to_body([volume], "CT").box
    assert fast.provenance["options"]["looked_at"] == [[extent.start, extent.stop] for extent in box]
    (labels,) = fast.layers
    assert labels.shape == SHAPE
    assert labels[box].any()
    outside = labels.copy()
    outside[box] = 0
    assert not outside.any()
    assert any("edge of the part" in note for note in fast.provenance["notes"])
    cut = crop_to_body([volume], "CT").cut(volume)
    alone = Segmenter(bundle, "cpu", SegmentOptions(preset=Preset.FAST, accept_mismatch=True)).segment([cut])
    assert np.array_equal(labels[box], alone.layers[0])
