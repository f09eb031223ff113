"""``transformerseg train``: without files of one's own, from a model or for a new network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from TransformerSegLib import cli
from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.networks.registry import configured
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.definition import Changes, for_model, for_new_network, write_definition
from TransformerSegLib.training.export import plan_of
from TransformerSegLib.training.model_recipe import LEARNING_RATE
from TransformerSegLib.training.network_choice import NetworkChoice, Preparation
from TransformerSegLib.training.new_recipe import with_fitting_margin
from TransformerSegLib.training.recipe import DEFORMED_SHARE, Recipe, read_recipe
from TransformerSegLib.training.rehearsal import rehearse

from bundle_factory import write_bundle
from tiny_run import DATA, RECIPE, entry, written_definition

NONE = Changes()


def brats_folder(folder: Path) -> Path:
    """Two cases of four inputs, as nnU-Net arranges them, without names for the labels."""
    random = np.random.default_rng(0)
    for place in ("imagesTr", "labelsTr"):
        (folder / place).mkdir(parents=True)
    for case in ("a", "b"):
        for channel in range(4):
            image = nibabel.Nifti1Image(random.integers(0, 900, (40, 40, 30)).astype(np.int16), np.eye(4))
            nibabel.save(image, folder / "imagesTr" / f"{case}_{channel:04d}.nii.gz")
        labels = np.zeros((40, 40, 30), np.uint8)
        labels[10:20, 10:20, 5:15] = [[[1] * 5 + [3] * 5] * 10] * 10
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), folder / "labelsTr" / f"{case}.nii.gz")
    return folder


def run_cli(*arguments: object) -> int:
    """The exit code; output is pytest's to collect."""
    sys_argv, sys.argv = sys.argv, ["transformerseg", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        sys.argv = sys_argv
    return 0


@pytest.mark.parametrize("network", NetworkChoice)
def test_a_new_network_is_fitted_to_the_data(network: NetworkChoice):
    data = read_data(DATA, validation=0.34)
    made = for_new_network("mine", network, Preparation.GENERAL, data, Changes(epochs=2))
    rehearse(made.recipe, made.card, made.data)
    recipe = made.recipe
    assert recipe.epochs == 2
    assert recipe.warmup_steps == 1
    assert recipe.outputs == 3
    if recipe.axes == 3:
        assert recipe.spacing_mm == (1.0, 1.0, 1.0)
        assert max(recipe.patch) == 64  # hippocampi are about 35×50×36 voxels
    else:
        assert recipe.patch[1:] == (224, 224)
    assert [each.label for each in made.card.classes] == [1, 2]
    assert "2 labelled cases of training; 1 others were kept out" in made.card.training_data
    assert "seed 0" in made.card.description


@pytest.mark.parametrize("network", NetworkChoice)
def test_a_new_network_for_brats_has_its_inputs_and_regions(network: NetworkChoice, tmp_path: Path):
    data = read_data(brats_folder(tmp_path), validation=0)
    made = for_new_network("tumours", network, Preparation.BRATS, data, NONE)
    rehearse(made.recipe, made.card, made.data)
    assert [channel.name for channel in made.card.inputs] == ["FLAIR", "T1ce", "T1", "T2"]
    assert [each.name for each in made.card.classes] == list(REGIONS)
    assert made.recipe.overlapping
    assert "No case was kept out to measure it." in made.card.limits


@pytest.mark.parametrize("architecture", ["SwinUNETR", "UNETR", "UNETRTamasino52", "UNesT", "SwinUnet", "TransUNet"])
def test_a_model_is_trained_further_with_the_preparation_of_its_bundle(architecture: str, tmp_path: Path):
    bundle = read_bundle(write_bundle(tmp_path / "model", architecture=architecture))
    made = for_model("further", bundle, read_data(DATA, validation=0), NONE)
    rehearse(made.recipe, made.card, made.data)
    plan = plan_of(made.recipe)
    assert plan.preparation == bundle.plan.preparation
    assert plan.output == bundle.plan.output
    assert plan.window.size == bundle.plan.window.size
    network = configured(plan.network.architecture, plan.network.arguments)
    assert network == configured(bundle.plan.network.architecture, bundle.plan.network.arguments)


def test_the_embedded_model_is_trained_further_by_its_own_recipe_but_as_at_its_beginning():
    bundle = find_bundle("hippocampus_swin_unetr")
    made = for_model("mine", bundle, read_data(DATA, validation=0), Changes(epochs=3, batch=1, seed=7))
    own = read_recipe(bundle.folder / "training" / "recipe.json")
    begun = {"epochs": 3, "batch": 1, "seed": 7, "learning_rate": LEARNING_RATE, "deformed_share": DEFORMED_SHARE}
    fitted = {name: getattr(made.recipe, name) for name in ("margin_voxels", "warmup_steps")}
    assert made.recipe == own.model_copy(update=begun | fitted)
    reached = [2 * margin + side for margin, side in zip(fitted["margin_voxels"], own.patch, strict=True)]
    assert reached == [34 + 12, 64 + 12, 34 + 12]  # of the images here, or of the patch
    assert made.card.classes == bundle.card.classes
    assert made.card.dice == {}
    assert bundle.card.training_data in made.card.training_data


def test_a_model_that_is_trained_further_on_larger_images_sees_all_of_them(tmp_path: Path):
    """Of an imported model nothing tells how large the images were that it was trained on."""
    bundle = read_bundle(write_bundle(tmp_path / "model"))
    image = nibabel.Nifti1Image(np.zeros((30, 80, 130), np.uint8), np.eye(4))
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        nibabel.save(image, tmp_path / "data" / folder / "one.nii.gz")
    recipe = for_model("further", bundle, read_data(tmp_path / "data", validation=0), NONE).recipe
    assert recipe.patch == (32, 32, 32)
    assert recipe.labelled_share == 0.5


def test_patches_of_images_that_are_hardly_larger_come_from_all_of_them():
    recipe = Recipe.model_validate(RECIPE | {"patch": [32, 32, 32], "margin_voxels": [0, 9, 0]})
    fitted = with_fitting_margin(recipe, (30, 44, 48))
    reached = [2 * margin + side for margin, side in zip(fitted.margin_voxels, fitted.patch, strict=True)]
    assert reached == [32 + 12, 32 + 24, 48 + 12]
    assert fitted.labelled_share == 0
    assert with_fitting_margin(recipe, (30, 44, 49)).labelled_share == 0.5


def test_classes_that_overlap_are_taken_for_the_regions_of_brats_by_their_names_alone(tmp_path: Path):
    sigmoid = OutputPlan(Activation.SIGMOID, threshold=0.5)
    data = read_data(DATA, validation=0)
    brats = read_bundle(write_bundle(tmp_path / "brats", output=sigmoid, classes=("TC", "Whole tumor", "ET")))
    assert for_model("further", brats, data, NONE).recipe.overlapping
    for name, classes in {"turned": ("Whole tumor", "TC", "ET"), "others": ("Liver", "Tumour", "Vessel")}.items():
        bundle = read_bundle(write_bundle(tmp_path / name, output=sigmoid, classes=classes))
        with pytest.raises(TrainingDataRejected, match="not the regions of BraTS in their order"):
            for_model("further", bundle, data, NONE)


def test_labels_with_a_gap_are_refused(tmp_path: Path):
    data = read_data(brats_folder(tmp_path), validation=0)
    with pytest.raises(TrainingDataRejected, match="hold the labels 1, 3"):
        for_new_network("mine", NetworkChoice.UNETR, Preparation.GENERAL, data, NONE)


def test_train_from_a_model_goes_on_where_it_stopped_and_keeps_what_defined_it(tmp_path: Path, capsys):
    model = write_bundle(tmp_path / "model", classes=("Anterior", "Posterior"))
    train = ("train", "--from", model, "--data", DATA, "--output", tmp_path / "new", "--epochs", 2, "--device", "cpu")
    train += ("--validation", 0.34, "--seed", 5)
    assert run_cli(*train) == 0
    said = capsys.readouterr().out
    assert "Start: " in said
    assert "epoch 2/2" in said
    bundle = read_bundle(tmp_path / "new")
    assert set(bundle.card.dice) == {"Anterior", "Posterior"}
    recipe = read_recipe(tmp_path / "new" / "training" / "recipe.json")
    assert (recipe.epochs, recipe.seed) == (2, 5)
    listed = json.loads((tmp_path / "new" / "training" / "data_list.json").read_text())
    assert len(listed["training"]) == 2
    assert listed["validation"][0]["image"].startswith("imagesTr/")
    segmentation = Segmenter(bundle, "cpu").segment([read_volume(DATA / entry("150")["image"])])
    assert len(segmentation.segments) == 2

    # What the bundle keeps trains the same again, from the form that takes a definition.
    again = ("train", tmp_path / "new" / "training", "--data", DATA, "--output", tmp_path / "again", "--device", "cpu")
    assert run_cli(*again, "--start", model, "--run", tmp_path / "new.run") == 0
    assert "epoch" not in capsys.readouterr().out
    weights = [(tmp_path / name / "models" / "model.safetensors").read_bytes() for name in ("new", "again")]
    assert weights[0] == weights[1]


def test_a_definition_is_trained_with_another_number_of_epochs(tmp_path: Path, capsys):
    definition = written_definition(tmp_path / "definition")
    arguments = ("train", definition, "--data", DATA, "--output", tmp_path / "new", "--epochs", 1, "--device", "cpu")
    assert run_cli(*arguments) == 0
    assert "epoch 1/1" in capsys.readouterr().out
    kept = json.loads((tmp_path / "new" / "training" / "recipe.json").read_text())
    assert kept["epochs"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what is trained"),
        (("--from", "a", "--network", "unetr"), "one of them"),
        (("folder", "--validation", "0.1"), "data list says which"),
        (("--network", "unet"), "swin-unetr"),
    ],
)
def test_what_contradicts_itself_is_a_usage_error(arguments: tuple[str, ...], said: str, tmp_path: Path, capsys):
    assert run_cli("train", *arguments, "--data", DATA, "--output", tmp_path / "new") == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize("output", [".", "..", "there"])
def test_an_output_that_is_there_is_refused_before_the_data_are_read(output: str, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run_cli("train", "--network", "unetr", "--data", tmp_path / "nothing", "--output", output) == 2
    assert "a model is never overwritten" in capsys.readouterr().err
    assert run_cli("pretrain", "--data", tmp_path / "nothing", "--output", output) == 2
    assert "an encoder is saved as .safetensors" in capsys.readouterr().err


def test_a_written_definition_is_read_alike(tmp_path: Path):
    made = for_new_network("mine", NetworkChoice.UNETR, Preparation.GENERAL, read_data(DATA, validation=0), NONE)
    write_definition(tmp_path, made)
    assert read_recipe(tmp_path / "recipe.json") == made.recipe
