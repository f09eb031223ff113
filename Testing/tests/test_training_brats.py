"""Labels and patches of BraTS are what MONAI, and the published trainer, make of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import (
    Compose,
    ConvertToMultiChannelBasedOnBratsClassesd,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    ToTensord,
)

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.training.brats import REGIONS, SHORT_NAMES, regions
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.data_check import check_data
from TransformerSegLib.training.input_order import in_card_order
from TransformerSegLib.training.labels import read_label
from TransformerSegLib.training.new_card import BRATS_INPUTS
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.samples import training_set, validation_set
from TransformerSegLib.training.session import train_bundle

from example_segmentation import PROVENANCE, segment_class
from small_networks import UNETR

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
"""MONAI looks at each of its readers for one that can read a file."""

SHARED = Path(__file__).parents[3] / "shared" / "data" / "brats"
MODALITIES = ("t2f", "t1c", "t1n", "t2w")
"""FLAIR, T1 with contrast, T1, T2: the order of the published networks."""


def recipe(patch: tuple[int, int, int]) -> Recipe:
    return Recipe(
        architecture="SwinUNETR",
        network={"in_channels": 4, "out_channels": 3, "feature_size": 12},
        preparation="brats",
        labels="brats",
        axcodes="LPS",
        spacing_mm=(1.0, 1.0, 1.0),
        patch=patch,
        batch=1,
        epochs=1,
        flip_axes=(0, 1, 2),
    )


def made_up(folder: Path, enhancing: int) -> Case:
    """A head of 44×40×36 voxels with a tumour of all three parts, stored as BraTS stores it."""
    random = np.random.default_rng(3)
    shape, affine = (44, 40, 36), np.diag([-1.0, -1.0, 1.0, 1.0])
    head = np.zeros(shape, bool)
    head[6:40, 4:36, 5:33] = True
    labels = np.zeros(shape, np.uint8)
    labels[14:28, 12:26, 10:24] = 2
    labels[17:25, 15:23, 13:21] = enhancing
    labels[19:23, 17:21, 15:19] = 1
    for modality in MODALITIES:
        image = np.where(head, random.integers(50, 900, shape), 0).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(image, affine), folder / f"made-up-{modality}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(labels, affine), folder / "made-up-seg.nii.gz")
    return Case(tuple(folder / f"made-up-{modality}.nii.gz" for modality in MODALITIES), folder / "made-up-seg.nii.gz")


def of_monai(case: Case, enhancing: int, random_part: Sequence, patch: tuple[int, int, int]) -> dict:
    """The published trainer's own transforms (SwinUNETR/BRATS21/utils/data_utils.py), on the same files."""
    both = ["image", "label"]
    steps = [
        LoadImaged(both, reader="NibabelReader"),
        EnsureChannelFirstd(both),
        ConvertToMultiChannelBasedOnBratsClassesd("label", et_label=enhancing),
        CropForegroundd(both, source_key="image", k_divisible=patch, allow_smaller=True),
        *random_part,
        ToTensord(both),
    ]
    published = Compose(steps)
    for number, part in enumerate(random_part):
        if hasattr(part, "set_random_state"):
            part.set_random_state(number)
    return published({"image": [str(path) for path in case.images], "label": str(case.label)})


def assert_a_patch_is_that_of_monai(case: Case, enhancing: int, patch: tuple[int, int, int]) -> None:
    """Each random transform draws from a seed of its own, in the order in which they stand."""
    both = ["image", "label"]
    published = [
        RandSpatialCropd(both, roi_size=patch, random_size=False),
        *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
        NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        RandScaleIntensityd("image", factors=0.1, prob=1.0),
        RandShiftIntensityd("image", offsets=0.1, prob=1.0),
    ]
    expected = of_monai(case, enhancing, published, patch)
    samples, random_part = training_set(recipe(patch), [case])
    for number, part in enumerate(random_part.transforms):
        if hasattr(part, "set_random_state"):
            part.set_random_state(number)
    sample = samples[0]
    np.testing.assert_array_equal(sample["label"], expected["label"])
    np.testing.assert_allclose(sample["image"], expected["image"], atol=1e-5)
    assert sample["image"].std() > 0


@pytest.mark.parametrize("enhancing", [3, 4])
def test_a_patch_is_that_of_the_published_trainer(enhancing: int, tmp_path: Path):
    assert_a_patch_is_that_of_monai(made_up(tmp_path, enhancing), enhancing, (32, 32, 32))


@pytest.mark.parametrize("enhancing", [3, 4])
def test_regions_are_those_of_monai(enhancing: int):
    labels = np.random.default_rng(0).choice([0, 1, 2, enhancing], (9, 8, 7)).astype(np.uint8)
    expected = ConvertToMultiChannelBasedOnBratsClassesd("label", et_label=enhancing)({"label": labels})["label"]
    np.testing.assert_array_equal(regions(labels, "tumour"), expected)


def test_both_conventions_give_the_same_regions():
    new = np.random.default_rng(1).integers(0, 4, (9, 8, 7))
    old = np.where(new == 3, 4, new)
    np.testing.assert_array_equal(regions(new, "new"), regions(old, "old"))


@pytest.mark.parametrize(("values", "said"), [((0, 1, 5), "holds the label 5"), ((1, 2, 3, 4), "labels 3 and 4")])
def test_labels_that_are_not_of_brats_are_refused(values: tuple[int, ...], said: str):
    with pytest.raises(TrainingDataRejected, match=said):
        regions(np.array(values), "tumour")


def test_validation_sees_the_whole_volume_scaled_by_what_is_not_zero(tmp_path: Path):
    case = made_up(tmp_path, 3)
    prepared = validation_set(recipe((32, 32, 32)), [case])[0]
    load = Compose(
        [LoadImaged("image", reader="NibabelReader"), NormalizeIntensityd("image", nonzero=True, channel_wise=True)]
    )
    expected = load({"image": [str(path) for path in case.images]})["image"]
    np.testing.assert_allclose(prepared["image"], expected, atol=1e-6)
    assert prepared["label"].shape == (3, 44, 40, 36)


def test_volumes_go_to_the_inputs_that_their_names_tell(tmp_path: Path):
    case = made_up(tmp_path, 3)
    classes = [{"label": 1, "channel": 0, "name": "Tumour core", "color": (1, 0, 0)}]
    card = Card(name="t", title="T", version="1", description="", inputs=BRATS_INPUTS, classes=classes)
    shuffled = Case(tuple(reversed(case.images)), case.label)
    ordered = in_card_order(DataList((shuffled,), (), "", "", tmp_path), card)
    assert ordered.training[0].images == case.images


@pytest.mark.skipif(not SHARED.is_dir(), reason="the case of BraTS is not here, and may not be copied")
@pytest.mark.parametrize("enhancing", [3, 4])
def test_a_patch_of_a_real_case_is_that_of_the_published_trainer(enhancing: int, tmp_path: Path):
    stored = nibabel.load(SHARED / "BraTS-GLI-00001-000-pseudoseg.nii.gz")
    labels = np.asarray(stored.dataobj).astype(np.uint8)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    part = (slice(60, 180), slice(60, 200), slice(20, 120))  # a part is read and cut in a tenth of the time
    affine = stored.affine.copy()
    affine[:3, 3] = (stored.affine @ [60, 60, 20, 1])[:3]
    images = []
    for modality in MODALITIES:
        image = nibabel.load(SHARED / f"BraTS-GLI-00001-000-{modality}.nii.gz")
        images.append(tmp_path / f"{modality}.nii")
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[part], affine), images[-1])
    labels = np.where(labels == 3, enhancing, labels)[part]
    assert set(np.unique(labels)) == {0, 1, 2, enhancing}
    nibabel.save(nibabel.Nifti1Image(labels, affine), tmp_path / "labels.nii")
    assert_a_patch_is_that_of_monai(Case(tuple(images), tmp_path / "labels.nii"), enhancing, (64, 64, 64))


def test_a_patch_is_drawn_anew_and_the_same_for_the_same_seed(tmp_path: Path):
    samples, random_part = training_set(recipe((32, 32, 32)), [made_up(tmp_path, 3)])
    random_part.set_random_state(5)
    first, second = samples[0]["image"], samples[0]["image"]
    random_part.set_random_state(5)
    assert not torch.equal(first, second)
    assert torch.equal(first, samples[0]["image"])


def drawn(case: Case, names: Sequence[str] = REGIONS, change: Callable = lambda *planes: planes) -> Case:
    """The same case, its tumour drawn in Slicer as three segments that overlap."""
    labels = read_volume(case.label)
    planes = change(*regions(labels.array, "labels"))
    layers = tuple(plane.astype(np.uint8) for plane in planes)
    segments = tuple(Segment(segment_class(1, name), layer, 1.0) for layer, name in enumerate(names))
    file = case.label.with_name("drawn.seg.nrrd")
    write_segmentation(file, Segmentation(layers, labels.affine, segments, "drawn", PROVENANCE), overwrite=True)
    return replace(case, label=file)


def regions_of(case: Case) -> np.ndarray:
    return regions(read_label(case, (), overlapping=True).array, case.name)


@pytest.mark.parametrize("names", [REGIONS, SHORT_NAMES, ("Tumor core", "Whole tumor", "Enhancing tumor")])
def test_regions_that_were_drawn_in_slicer_are_trained_as_those_of_labels(names: Sequence[str], tmp_path: Path):
    case = made_up(tmp_path, 3)
    np.testing.assert_array_equal(regions_of(drawn(case, names)), regions_of(case))
    prepared = [validation_set(recipe((32, 32, 32)), [each])[0]["label"] for each in (case, drawn(case, names))]
    assert torch.equal(*prepared)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda core, whole, active: (core, core, active), lambda core, whole, active: (core, core, active)),
        (lambda core, whole, active: (whole, core, active), lambda core, whole, active: (whole, whole, active)),
        (lambda core, whole, active: (~whole & core, whole, core), lambda core, whole, active: (core, whole, core)),
    ],
    ids=["without oedema", "the core larger than the whole", "enhancing tumour outside of the core"],
)
def test_a_region_that_was_drawn_is_part_of_the_regions_around_it(change, expected, tmp_path: Path):
    case = made_up(tmp_path, 3)
    np.testing.assert_array_equal(regions_of(drawn(case, change=change)), np.stack(expected(*regions_of(case))))


def checked(*cases: Case):
    return check_data(DataList(cases, (), "drawn", "", cases[0].label.parent), overlapping=True)


def test_a_drawing_and_labels_are_checked_alike_by_their_regions(tmp_path: Path):
    case = made_up(tmp_path, 4)
    of_labels, of_drawing = (checked(each).cases[0] for each in (case, drawn(case)))
    assert of_labels.faults == of_drawing.faults == ()
    assert of_labels.volumes_ml == of_drawing.volumes_ml
    assert of_labels.volumes_ml == {
        place + 1: pytest.approx(plane.sum() / 1000) for place, plane in enumerate(regions_of(case))
    }
    assert of_drawing.remarks == ()


def test_a_segment_that_is_no_region_is_refused_in_one_sentence(tmp_path: Path):
    case = drawn(made_up(tmp_path, 3), ("Tumour core", "Oedema", "ET"))
    with pytest.raises(TrainingDataRejected) as refusal:
        checked(case).refuse()
    assert str(refusal.value) == (
        "“drawn.seg.nrrd” has the segment “Oedema”: no class has such a name, and its voxels would be learned as "
        "background; classes are “Tumour core”, “Whole tumour”, “Enhancing tumour”. Rename the segment in Slicer, or "
        "delete it there."
    )


def test_labels_that_are_not_of_brats_are_found_before_the_training(tmp_path: Path):
    case = made_up(tmp_path, 5)
    (found,) = checked(case).cases
    assert [fault.what for fault in found.faults] == ["“made-up-seg.nii.gz” holds the label 5"]


def test_a_model_is_trained_on_drawings_and_measured_on_labels(tmp_path: Path):
    settings = {
        "architecture": "UNETR",
        "network": UNETR | {"in_channels": 4, "img_size": [16, 16, 16]},
        "labels": "brats",
        "spacing_mm": [2.5, 2.5, 2.5],
        "patch": [16, 16, 16],
        "batch": 1,
        "epochs": 1,
    }
    classes = [
        {"label": place + 1, "channel": place, "name": name, "color": (1, 0, 0)} for place, name in enumerate(REGIONS)
    ]
    card = Card(name="t", title="T", version="1", description="", inputs=BRATS_INPUTS, classes=classes)
    entries = []
    for place, make in (("one", drawn), ("two", lambda case: case)):
        (tmp_path / place).mkdir()
        case = make(made_up(tmp_path / place, 3))
        for number, path in enumerate(case.images if place == "two" else ()):  # another head
            image = nibabel.load(path)
            nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1] + np.int16(number), image.affine), path)
        entries.append({"image": [str(path) for path in case.images], "label": str(case.label)})
    definition = tmp_path / "definition"
    definition.mkdir()
    (definition / "recipe.json").write_text(json.dumps(settings), encoding="utf-8")
    (definition / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
    lists = {"name": "two heads", "training": entries[:1], "validation": entries[1:]}
    (definition / "data_list.json").write_text(json.dumps(lists), encoding="utf-8")
    train_bundle(definition, tmp_path, tmp_path / "model", tmp_path / "run", "cpu", lambda line: None)
    assert list(read_bundle(tmp_path / "model").card.dice) == list(REGIONS)
