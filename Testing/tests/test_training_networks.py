"""Every network is trained here, and what it has learned is what its bundle then finds."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.training import kept_in_memory
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.cases import Case, ClassName, DataList
from TransformerSegLib.training.export import export_bundle, plan_of
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.rehearsal import rehearse
from TransformerSegLib.training.samples import training_set, validation_set
from TransformerSegLib.training.starting import starting_weights
from TransformerSegLib.training.validating import decided, inferer

from bundle_factory import SMALL_NETWORKS, write_bundle

AFFINE = np.array([[0, 0, 1.0, 3], [-1.0, 0, 0, 5], [0, 1.0, 0, -2], [0, 0, 0, 1]])
"""Axes in another order than any network is given them."""

SLICES = {"patch": (3, 32, 32), "axcodes": "SLA", "spacing_mm": None}
BRATS_INPUTS = {"in_channels": 4, "out_channels": 3}


def recipe(architecture: str, network: dict | None = None, **fields) -> Recipe:
    common = {"patch": (32, 32, 32), "spacing_mm": (1.0, 1.0, 1.0), "batch": 1, "epochs": 1, "learning_rate": 1e-4}
    network = {"in_channels": 1, "out_channels": 3} | SMALL_NETWORKS[architecture] | (network or {})
    return Recipe(architecture=architecture, network=network, **common | fields)


RECIPES = {
    "Swin UNETR": recipe("SwinUNETR", patch=(32, 32, 64)),
    "Swin UNETR for BraTS": recipe(
        "SwinUNETR",
        BRATS_INPUTS,
        patch=(32, 32, 64),
        preparation="brats",
        labels="brats",
        axcodes="LPS",
        flip_axes=(0, 1, 2),
    ),
    "UNETR": recipe("UNETR", {"img_size": [16, 16, 16]}, patch=(16, 16, 16), mixed_precision="auto"),
    "UNETR of two inputs": recipe("UNETR", {"in_channels": 2}, randomness="case"),
    "UNETR of tamasino52": recipe("UNETRTamasino52", {"num_layers": 4}),
    "UNesT": recipe("UNesT", patch=(64, 64, 64)),
    "Swin-Unet": recipe("SwinUnet", **SLICES),
    "Swin-Unet for BraTS": recipe("SwinUnet", BRATS_INPUTS | {"stem_channels": 4}, labels="brats", **SLICES),
    "TransUNet": recipe("TransUNet", **SLICES),
    "TransUNet with four heads": recipe("TransUNet", {"multi_scale": True}, deep_supervision=True, **SLICES),
}


def ball(shape: tuple[int, ...], centre: tuple[int, ...], radius: float) -> np.ndarray:
    return sum((axis - at) ** 2 for axis, at in zip(np.indices(shape), centre, strict=True)) <= radius**2


def case(folder: Path, number: int, inputs: int) -> Case:
    """A bright ball beside a dark one in noise, and their labels."""
    random = np.random.default_rng(number)
    shape = (26, 32, 30)
    labels = np.zeros(shape, np.uint8)
    labels[ball(shape, (12, 12 + number, 14), 7)] = 1
    labels[ball(shape, (13, 24, 14), 6)] = 2
    labels[ball(shape, (13, 24, 14), 3)] = 3 if inputs == 4 else 2
    paths = []
    for channel in range(inputs):
        image = 300 + 60 * random.standard_normal(shape) + 250 * (labels == 1) - (200 + channel) * (labels == 2)
        image[0] = 0
        paths.append(folder / f"case{number}_{channel}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(image.clip(0).astype(np.int16), AFFINE), paths[-1])
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), folder / f"label{number}.nii.gz")
    return Case(tuple(paths), folder / f"label{number}.nii.gz", f"case{number}")


def card(recipe: Recipe) -> Card:
    names = REGIONS if recipe.overlapping else ("Bright", "Dark")
    first = 0 if recipe.overlapping else 1
    classes = [
        {"label": number + 1, "channel": number + first, "name": name, "color": (1, 0, 0)}
        for number, name in enumerate(names)
    ]
    inputs = [{"name": f"image {number}"} for number in range(recipe.inputs)]
    return Card(name="tiny", title="Tiny", version="1", description="", inputs=inputs, classes=classes)


def random_model(recipe: Recipe, folder: Path) -> Path:
    """Random weights with which no class wins in every voxel, as after the usual ones."""
    return write_bundle(
        folder,
        architecture=recipe.architecture,
        network={name: value for name, value in recipe.network.items() if name not in ("in_channels", "out_channels")},
        window=plan_of(recipe).window,
        output=plan_of(recipe).output,
        inputs=[f"image {number}" for number in range(recipe.inputs)],
        classes=[each.name for each in card(recipe).classes],
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_network_is_trained_and_its_bundle_finds_what_the_validation_found(name: str, tmp_path: Path):
    recipe = RECIPES[name]
    cases = (case(tmp_path, 1, recipe.inputs),)
    classes = tuple(ClassName(each.label, each.name, each.color) for each in card(recipe).classes)
    data = DataList(cases, (), "balls", "none", tmp_path, classes)
    rehearse(recipe, card(recipe), data)

    start = starting_weights(random_model(recipe, tmp_path / "start"), configured(recipe.architecture, recipe.network))
    network = fine_tune(recipe, data, tmp_path / "run", start=start)
    export_bundle(tmp_path / "model", network, recipe, card(recipe))

    (prepared,) = validation_set(recipe, cases, classes)
    with torch.inference_mode():
        expected = decided(recipe, inferer(recipe)(prepared["image"][None], network))[0].numpy()
    assert len(np.unique(expected)) > 1

    segmentation = Segmenter(read_bundle(tmp_path / "model"), "cpu").segment([read_volume(p) for p in cases[0].images])
    turn = reorientation(AFFINE, recipe.axcodes)
    for channel, segment in enumerate(segmentation.segments):
        found = turn.view(segmentation.mask(segment))
        wanted = expected[channel] > 0 if recipe.overlapping else expected[0] == segment.definition.label
        assert np.mean(found == wanted) > 0.995  # the bundle's weights are of half precision


@pytest.mark.parametrize("name", RECIPES)
def test_a_sample_has_the_size_that_the_network_takes(name: str, tmp_path: Path):
    recipe = RECIPES[name]
    samples, _ = training_set(recipe, [case(tmp_path, 1, recipe.inputs)])
    sample = samples[0]
    slices = sample if isinstance(sample, list) else [sample]
    size = recipe.patch if recipe.axes == 3 else recipe.patch[1:]
    assert len(slices) == (1 if recipe.axes == 3 else recipe.patch[0])
    for each in slices:
        assert each["image"].shape == (recipe.inputs, *size)
        assert each["label"].shape == (3 if recipe.overlapping else 1, *size)
        assert set(np.unique(each["label"])) <= {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["UNETR", "TransUNet"])
def test_cases_that_do_not_fit_into_memory_are_read_anew_and_trained_on_alike(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recipe = RECIPES[name]
    cases = [case(tmp_path, number, recipe.inputs) for number in (1, 2, 3)]
    found = {}
    for free in (None, 1):  # bytes; a computer that does not tell, and one that is full
        monkeypatch.setattr(kept_in_memory, "computer_memory", lambda free=free: (free, free))
        patches, random_part = training_set(recipe, cases)
        random_part.set_random_state(5)
        volumes = validation_set(recipe, cases)
        kept = 3 if free is None else 1
        assert (patches.cache_num, volumes.cache_num) == (kept, kept)
        found[free] = [samples[number] for samples in (patches, volumes) for number in range(3)]
    for whole, short in zip(found[None], found[1], strict=True):
        pairs = zip(whole, short, strict=True) if isinstance(whole, list) else [(whole, short)]
        assert all(torch.equal(one[key], other[key]) for one, other in pairs for key in ("image", "label"))


def test_labels_with_rounded_headers_are_resampled_as_their_image(tmp_path: Path):
    fine = np.diag([1.0, 1.0, 1.002, 1.0])
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 20, 25), np.int16), np.eye(4)), tmp_path / "image.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones((20, 20, 25), np.uint8), fine), tmp_path / "label.nii.gz")
    recipe = RECIPES["UNETR"].model_copy(update={"spacing_mm": (1.0, 1.0, 0.05)})
    one = Case(tmp_path / "image.nii.gz", tmp_path / "label.nii.gz")
    (prepared,) = validation_set(recipe, [one])
    assert prepared["label"].shape == prepared["image"].shape


def test_weights_that_half_precision_cannot_hold_are_kept_whole(tmp_path: Path):
    recipe = RECIPES["TransUNet"]
    network = build(recipe.architecture, recipe.network)
    name = next(name for name in network.state_dict() if name.endswith("running_var"))
    network.state_dict()[name].fill_(1e6)
    export_bundle(tmp_path / "model", network, recipe, card(recipe))
    segmenter = Segmenter(read_bundle(tmp_path / "model"), "cpu")
    segmenter.segment([read_volume(path) for path in case(tmp_path, 1, recipe.inputs).images])
    kept = load_file(tmp_path / "model" / "models" / "model.safetensors")
    assert kept[name].eq(1e6).all()
    assert {tensor.dtype for other, tensor in kept.items() if other != name} <= {torch.float16, torch.int64}


def test_the_loss_of_slices_falls(tmp_path: Path):
    recipe = RECIPES["TransUNet with four heads"].model_copy(
        update={"epochs": 8, "learning_rate": 5e-3, "warmup_steps": 1}
    )
    cases = tuple(case(tmp_path, number, 1) for number in (1, 2))
    fine_tune(recipe, DataList(cases, (), "balls", "none", tmp_path), tmp_path / "run")
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()[1:]
    losses = [float(line.split(",")[1]) for line in lines]
    assert len(losses) == 8
    assert all(map(math.isfinite, losses))
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])
