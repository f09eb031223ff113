"""A training may start from pretrained weights: what of them the network takes is said, and never nothing."""

from __future__ import annotations

import json
import lzma
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from TransformerSegLib.errors import BundleRejected, CheckpointRejected, TrainingDataRejected
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.networks.registry import build, configured
from TransformerSegLib.training import run_folder
from TransformerSegLib.training.cases import Case, DataList
from TransformerSegLib.training.data_list import read_data_list
from TransformerSegLib.training.fine_tuning import fine_tune
from TransformerSegLib.training.recipe import Recipe
from TransformerSegLib.training.run_files import START
from TransformerSegLib.training.run_folder import claim
from TransformerSegLib.training.session import train_bundle
from TransformerSegLib.training.starting import starting_weights

from bundle_factory import write_bundle
from checkpoints import of_monai_trainer, official_state, save, with_prefix
from small_networks import UNETR

SHARED = Path(__file__).parents[3] / "shared" / "data" / "golden"
DATA = Path(__file__).parents[1] / "data" / "hippocampus" / "training"

SWIN = {"in_channels": 4, "out_channels": 3, "feature_size": 12, "downsample": "merging"}
RECIPE = Recipe.model_validate(
    {
        "architecture": "UNETR",
        "network": UNETR,
        "spacing_mm": [1.0, 1.0, 1.0],
        "patch": [32, 32, 32],
        "batch": 1,
        "epochs": 1,
        "warmup_steps": 1,
    }
)


def self_supervised_encoder(path: Path) -> Path:
    """The encoder of the golden Swin UNETR in the layout of ``model_swinvit.pt``."""
    state = official_state("swin_unetr_v1")
    encoder = {
        "module." + name.removeprefix("swinViT.").replace("mlp.linear", "mlp.fc"): tensor
        for name, tensor in state.items()
        if name.startswith("swinViT.")
    }
    heads = {f"module.{head}_head.{part}": torch.zeros(4) for head in ("rotation", "contrastive") for part in "wb"}
    return save({"epoch": 3, "state_dict": encoder | heads, "optimizer": {}}, path)


def trainers_encoder(path: Path) -> Path:
    """As the self-supervised trainer itself saves it, with what it reconstructs images by."""
    state = {name: t for name, t in official_state("swin_unetr_v1").items() if name.startswith("swinViT.")}
    more = {"rotation_head.weight": torch.zeros(4, 4), "conv.0.weight": torch.zeros(2, 2, 3, 3, 3)}
    return save({"global_step": 9, "state_dict": state | more}, path)


@pytest.mark.parametrize("encoder", [self_supervised_encoder, trainers_encoder])
def test_a_self_supervised_encoder_is_taken_whole_and_its_heads_are_left_behind(encoder, tmp_path: Path):
    start = starting_weights(encoder(tmp_path / "model_swinvit.pt"), configured("SwinUNETR", SWIN))
    official = official_state("swin_unetr_v1")
    floats = {n for n, t in official.items() if n.startswith("swinViT.") and t.is_floating_point()}
    assert start.tensors.keys() == floats
    assert all(torch.equal(start.tensors[name], official[name]) for name in floats)
    said = "\n".join(start.report)
    assert f"{len(floats)} of the network's" in said
    assert re.search(r"Left behind: rotation_head.* \(pretraining heads\)", said)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the golden data as published are not here")
def test_the_official_encoder_gives_the_official_features(tmp_path: Path):
    path = tmp_path / "model_swinvit.pt"
    path.write_bytes(lzma.decompress((SHARED / "swin_unetr_v1_ssl.pth.xz").read_bytes()))
    network = build("SwinUNETR", SWIN).eval()
    network.load_state_dict(dict(starting_weights(path, configured("SwinUNETR", SWIN)).tensors), strict=False)
    with np.load(SHARED / "swin_unetr_v1_ssl_io.npz") as golden, torch.inference_mode():
        features = network.swinViT(torch.from_numpy(golden["input"]), normalize=True)
        for level, feature in enumerate(features):
            official = golden[f"feature{level}_merging161"]
            assert np.abs(feature.numpy() - official).max() / official.std() < 1e-4


def test_an_encoder_for_another_number_of_inputs_keeps_all_but_its_first_layer(tmp_path: Path):
    path = self_supervised_encoder(tmp_path / "model_swinvit.pt")
    start = starting_weights(path, configured("SwinUNETR", {**SWIN, "in_channels": 1}))
    assert "swinViT.patch_embed.proj.weight" not in start.tensors
    assert "swinViT.layers1.0.blocks.0.attn.qkv.weight" in start.tensors
    assert any("12×4×2×2×2, not 12×1×2×2×2" in line for line in start.report)


def test_a_start_of_another_width_is_refused_though_some_tensors_have_the_same_shape(tmp_path: Path):
    path = self_supervised_encoder(tmp_path / "model_swinvit.pt")
    with pytest.raises(CheckpointRejected, match="start from random weights") as refusal:
        starting_weights(path, configured("SwinUNETR", {**SWIN, "feature_size": 24}))
    assert refusal.value.details


@pytest.mark.parametrize(
    ("network", "other"),
    [(configured("UNETR", UNETR), self_supervised_encoder), (configured("SwinUNETR", SWIN), write_bundle)],
)
def test_a_start_of_another_network_is_refused(network, other, tmp_path: Path):
    path = other(tmp_path / "start")
    with pytest.raises(CheckpointRejected, match="and the recipe trains a"):
        starting_weights(path, network)


def test_the_architecture_of_another_start_is_recommended(tmp_path: Path):
    path = write_bundle(tmp_path / "start", architecture="SwinUnet")
    with pytest.raises(CheckpointRejected, match="holds a SwinUnet") as refusal:
        starting_weights(path, configured("UNETR", UNETR))
    assert refusal.value.remedy == "Set “architecture” in recipe.json to SwinUnet, or name another start"


@pytest.mark.parametrize("start", [self_supervised_encoder, lambda path: save(official_state("swin_unetr_v1"), path)])
def test_a_start_that_does_not_tell_its_order_of_merging_says_so(start, tmp_path: Path):
    path = start(tmp_path / "start.pt")
    (said,) = (line for line in starting_weights(path, configured("SwinUNETR", SWIN)).report if "merges" in line)
    assert "does not tell" in said
    assert "“downsample”: “legacy”" in said


def test_a_start_that_is_known_by_its_hash_is_taken_at_its_order_of_merging(tmp_path: Path, monkeypatch):
    path = self_supervised_encoder(tmp_path / "model_swinvit.pt")
    monkeypatch.setattr("TransformerSegLib.training.starting.trained_with_monai", lambda weights: "1.0.1")
    old, new = (
        "\n".join(starting_weights(path, configured("SwinUNETR", {**SWIN, "downsample": order})).report)
        for order in ("legacy", "merging")
    )
    assert "merges" not in old
    assert "the start merges patches as MONAI 0.9 to 1.4, and the recipe as MONAI 1.5 and later" in new


def test_a_checkpoint_of_the_same_network_may_have_other_classes(tmp_path: Path):
    state = official_state("unetr_btcv")
    path = save(of_monai_trainer(with_prefix("module.")(state)), tmp_path / "btcv.pth")
    network = {**UNETR, "img_size": [48, 32, 32], "hidden_size": 48, "mlp_dim": 96, "proj_type": "perceptron"}
    start = starting_weights(path, configured("UNETR", {**network, "out_channels": 7}))
    differing = {"out.conv.conv.weight", "out.conv.conv.bias"}
    own = {name for name, tensor in configured("UNETR", network).outline().items() if "cross_attn" not in name}
    assert own - start.tensors.keys() == differing
    assert sum("Begun at random: out.conv" in line for line in start.report) == 2


def test_a_bundle_is_a_start_and_a_training_says_so_in_its_card(tmp_path: Path):
    bundle = write_bundle(tmp_path / "base", network={k: v for k, v in UNETR.items() if "channels" not in k})
    definition = tmp_path / "definition"
    definition.mkdir()
    entry = {"image": "imagesTr/hippocampus_150.nii.gz", "label": "labelsTr/hippocampus_150.nii.gz"}
    classes = [{"label": n, "channel": n, "name": f"Part {n}", "color": [1, 0, 0]} for n in (1, 2)]
    card = {"name": "tiny", "title": "Tiny", "version": "1", "description": "For a test.", "classes": classes}
    contents = {
        "recipe": RECIPE.model_dump(mode="json"),
        "data_list": {"name": "one case", "training": [entry]},
        "card": {**card, "inputs": [{"name": "image"}], "licence": "CC0", "training_data": "One case."},
    }
    for name, content in contents.items():
        (definition / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    lines: list[str] = []
    train_bundle(definition, DATA, tmp_path / "new", tmp_path / "run", "cpu", lines.append, bundle)
    record = json.loads((tmp_path / "run" / START).read_text())
    own = json.loads((tmp_path / "new" / "configs" / "metadata.json").read_text())["transformerseg"]
    assert record["name"] == "base"
    assert own["training_data"].startswith("One case. The training started from the weights of “base”, SHA-256 ")
    assert record["sha256"] in own["training_data"]
    assert any(line.startswith("Start: ") for line in lines)
    document = (tmp_path / "new" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "transformerseg train MODEL/training --data DATA --start START --output NEW_MODEL" in document
    assert f"START the weights of “base”, SHA-256 {record['sha256']}" in document


@pytest.mark.parametrize("name", [START, "cases.json", "recipe.json"])
def test_a_run_that_was_killed_before_it_was_defined_can_begin_in_any_way(name: str, tmp_path: Path, monkeypatch):
    start = starting_weights(
        save(build("UNETR", UNETR).state_dict(), tmp_path / "start.pth"), configured("UNETR", UNETR)
    )
    case = Case(DATA / "imagesTr" / "hippocampus_150.nii.gz")
    data = DataList((case,), (), "one case", "", DATA)
    for begun in ("with", "without"):
        with monkeypatch.context() as patched:
            patched.setattr(run_folder, "written_atomically", killed_before(name))
            with pytest.raises(KeyboardInterrupt):
                claim(tmp_path / begun, {}, data, start)
    claim(tmp_path / "with", {}, data, start)
    claim(tmp_path / "with", {}, data, start)
    claim(tmp_path / "without", {}, data, None)
    claim(tmp_path / "without", {}, data, None)
    with pytest.raises(TrainingDataRejected, match="another start"):
        claim(tmp_path / "without", {}, data, start)


def test_another_of_several_processes_finds_no_other_run_in_one_that_is_being_defined(tmp_path: Path, monkeypatch):
    start = starting_weights(
        save(build("UNETR", UNETR).state_dict(), tmp_path / "start.pth"), configured("UNETR", UNETR)
    )
    data = DataList((Case(DATA / "imagesTr" / "hippocampus_150.nii.gz"),), (), "one case", "", DATA)
    written = []

    @contextmanager
    def with_another_process(path: Path):
        claim(tmp_path / "run", {}, data, start, write=False)
        with written_atomically(path) as temporary:
            yield temporary
        claim(tmp_path / "run", {}, data, start, write=False)
        written.append(path.name)

    monkeypatch.setattr(run_folder, "written_atomically", with_another_process)
    claim(tmp_path / "run", {}, data, start)
    assert sorted(written) == ["cases.json", "recipe.json", START]


def killed_before(name: str):
    @contextmanager
    def writing(path: Path):
        if path.name == name:
            raise KeyboardInterrupt
        with written_atomically(path) as temporary:
            yield temporary

    return writing


def test_the_first_step_is_taken_from_the_start_and_a_run_keeps_to_it(tmp_path: Path):
    entry = {"image": "imagesTr/hippocampus_150.nii.gz", "label": "labelsTr/hippocampus_150.nii.gz"}
    (tmp_path / "data_list.json").write_text(json.dumps({"training": [entry]}), encoding="utf-8")
    data = read_data_list(tmp_path / "data_list.json", DATA)
    recipe = RECIPE.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0})
    torch.manual_seed(11)
    weights = build("UNETR", UNETR).state_dict()
    start = starting_weights(save(weights, tmp_path / "start.pth"), configured("UNETR", UNETR))
    trained = fine_tune(recipe, data, tmp_path / "run", start=start).state_dict()
    assert all(torch.allclose(trained[name], weights[name], atol=1e-6) for name in start.tensors)
    other = starting_weights(save(trained, tmp_path / "other.pth"), configured("UNETR", UNETR))
    for another in (None, other):
        with pytest.raises(TrainingDataRejected, match="another start"):
            fine_tune(recipe, data, tmp_path / "run", start=another)
    fine_tune(recipe, data, tmp_path / "plain")
    with pytest.raises(TrainingDataRejected, match="another start"):
        fine_tune(recipe, data, tmp_path / "plain", start=start)


TRANSUNET = {
    "in_channels": 3,
    "out_channels": 5,
    "img_size": 64,
    "resnet_layers": [2, 1, 1],
    "width_factor": 0.5,
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_heads": 4,
    "num_layers": 2,
    "decoder_channels": [12, 8, 8, 4],
    "skip_channels": [256, 128, 32, 16],
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the golden data as published are not here")
def test_googles_weights_make_transunet_answer_as_after_the_official_loader():
    network = build("TransUNet", TRANSUNET).eval()
    start = starting_weights(SHARED / "transunet_jax_pretrained.npz", configured("TransUNet", TRANSUNET))
    network.load_state_dict({**official_state("transunet_r50"), **start.tensors})
    with np.load(SHARED / "transunet_jax_pretrained_io.npz") as golden, torch.inference_mode():
        difference = np.abs(network(torch.from_numpy(golden["input"])).numpy() - golden["output"])
        assert difference.max() / golden["output"].std() < 1e-4
    assert any("the decoder" in line for line in start.report)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"weights": np.zeros(3)}, "no vision transformer"),
        ({"weights": np.array([{}], dtype=object)}, "cannot be used"),
        (
            {"Transformer/posembed_input/pos_embedding": np.zeros((1, 5, 8)), "embedding/kernel": np.zeros((1, 1, 8))},
            "offers",
        ),
    ],
)
def test_an_archive_of_other_arrays_is_refused(arrays: dict, said: str, tmp_path: Path):
    np.savez(tmp_path / "start.npz", **arrays)
    with pytest.raises(CheckpointRejected, match=said):
        starting_weights(tmp_path / "start.npz", configured("TransUNet", TRANSUNET))


def test_a_start_that_is_no_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / "start.pt").write_bytes(b"nothing")
    with pytest.raises(BundleRejected):
        starting_weights(tmp_path / "start.pt", configured("UNETR", UNETR))
