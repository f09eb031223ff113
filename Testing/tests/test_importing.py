"""Checkpoints as the official trainers save them become bundles that answer as the official networks do."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from TransformerSegLib.bundles.import_network import settle
from TransformerSegLib.bundles.import_options import ImportOptions
from TransformerSegLib.bundles.importing import import_checkpoint
from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    Orientation,
    ScaleIntensityRange,
    SlicePlan,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.cli import main
from TransformerSegLib.commands.console import EXIT_BAD_INPUT
from TransformerSegLib.errors import BundleRejected, CheckpointRejected, LabelsRejected, OutputRejected
from TransformerSegLib.networks.layouts.registry import recognise
from TransformerSegLib.networks.registry import build

from checkpoints import (
    of_monai_trainer,
    official_state,
    save,
    save_before_torch_1_6,
    save_with_numpy_1,
    with_optimizer,
    with_prefix,
)
from golden_case import MARK, golden_case

SHARED = Path(__file__).parents[3] / "shared" / "data" / "golden"


@dataclass(frozen=True)
class Official:
    """What a user has to tell of a golden case, and how its trainer saves it."""

    classes: int
    options: ImportOptions
    output: str = "output"
    wrap: Callable = dict
    write: Callable = save


def swin(order: str) -> ImportOptions:
    return ImportOptions(merging=order, architecture="Swin-UNETR")


OFFICIAL = {
    "unetr_btcv": Official(3, ImportOptions("unetr", heads=(4,), image_size=(48, 32, 32)), wrap=of_monai_trainer),
    "unetr_monai": Official(2, ImportOptions("UNETR", heads=(4,), image_size=(32, 48, 32)), wrap=of_monai_trainer),
    "swin_unetr_v1": Official(3, swin("legacy"), "output_merging_legacy", of_monai_trainer, save_with_numpy_1),
    "swin_unetr_v2": Official(1, swin("merging"), "output_merging161", with_optimizer),
    "unetr_tamasino52": Official(3, ImportOptions("unetr_tamasino52", heads=(4,), image_size=(32, 48, 32))),
    "unetr_tamasino52_2conv": Official(1, ImportOptions("unetr", heads=(4,), image_size=(32, 32, 48))),
    "unest_brain": Official(1, ImportOptions("unest", heads=(2, 3, 4), recipe="brain")),
    "unest_renal": Official(
        2, ImportOptions("UNesT", heads=(2, 4, 4), recipe="renal"), wrap=lambda state: {"model": state}
    ),
    "swinunet": Official(3, ImportOptions("swin-unet"), "output_gray", with_prefix("module.")),
    "swinunet_ape": Official(2, ImportOptions("swinunet", inputs=("a", "b", "c"), recipe="synapse")),
    "transunet_r50": Official(4, ImportOptions("transunet", heads=(4,)), "output_gray", write=save_before_torch_1_6),
    "transunet_vit": Official(
        3, ImportOptions("TransUNet", heads=(4,)), "output_gray", with_prefix("module."), save_before_torch_1_6
    ),
}


def labels(folder: Path, content: object) -> Path:
    path = folder / "labels.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def numbered(classes: int) -> dict[str, int]:
    return {f"class {number}": number for number in range(1, classes + 1)}


def checkpoint_of(name: str, folder: Path, wrap: Callable | None = None, write: Callable | None = None) -> Path:
    official = OFFICIAL[name]
    content = (wrap or official.wrap)(official_state(name))
    return (write or official.write)(content, folder / f"{name}.pth")


def imported(name: str, folder: Path, **ways: Callable):
    official = OFFICIAL[name]
    path = checkpoint_of(name, folder, **ways)
    return import_checkpoint(path, labels(folder, numbered(official.classes)), folder / "model", official.options)


def answer(bundle, case, output: str) -> torch.Tensor:
    with torch.inference_mode():
        return bundle.network()(case.input_for(output))


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_checkpoint_becomes_a_bundle_that_answers_as_the_official_network(name: str, tmp_path: Path):
    bundle, case = imported(name, tmp_path), golden_case(name)
    assert case.deviation(answer(bundle, case, OFFICIAL[name].output), OFFICIAL[name].output) < MARK
    assert [each.name for each in bundle.card.classes] == list(numbered(OFFICIAL[name].classes))
    written = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if path.is_file()}
    assert written == {
        "configs/inference.json",
        "configs/metadata.json",
        "docs/README.md",
        "models/model.safetensors",
        "LICENSE",
    }
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


WRAPPED = {
    "flat": {"wrap": dict},
    "state_dict": {"wrap": of_monai_trainer},
    "model": {"wrap": lambda state: {"model": state}},
    "module.": {"wrap": with_prefix("module.")},
    "backbone.": {"wrap": lambda state: {"state_dict": with_prefix("backbone.")(state)}},
    "compiled": {"wrap": lambda state: {"model": with_prefix("module._orig_mod.")(state)}},
    "module.backbone.": {"wrap": with_prefix("module.backbone.")},
    "optimizer": {"wrap": with_optimizer},
    "before torch 1.6": {"wrap": of_monai_trainer, "write": save_before_torch_1_6},
    "NumPy 1": {"wrap": of_monai_trainer, "write": save_with_numpy_1},
}


@pytest.mark.parametrize("way", WRAPPED)
def test_the_way_in_which_a_trainer_wraps_its_weights_does_not_matter(way: str, tmp_path: Path):
    bundle, case = imported("unetr_btcv", tmp_path, **WRAPPED[way]), golden_case("unetr_btcv")
    assert case.deviation(answer(bundle, case, "output"), "output") < MARK


def test_the_order_of_merging_that_was_asked_for_is_kept_in_the_bundle(tmp_path: Path):
    case, path = golden_case("swin_unetr_v1"), checkpoint_of("swin_unetr_v1", tmp_path)
    import_checkpoint(path, labels(tmp_path, numbered(3)), tmp_path / "model", swin("mergingv2"))
    bundle = read_bundle(tmp_path / "model")
    assert case.deviation(answer(bundle, case, "output_mergingv2"), "output_mergingv2") < MARK
    assert bundle.card.patch_merging == "as “mergingv2” of MONAI"


@pytest.mark.parametrize(
    ("version", "merging", "order"),
    [
        ("1.3.0", "", "legacy"),
        ("1.4.0", "merging", "legacy"),
        ("1.6.1", "", "merging"),
        ("1.3.0", "mergingv2", "mergingv2"),
        ("", "legacy", "legacy"),
    ],
)
def test_the_version_of_monai_tells_the_order_of_merging(version: str, merging: str, order: str, tmp_path: Path):
    path = checkpoint_of("swin_unetr_v2", tmp_path)
    options = ImportOptions(monai_version=version, merging=merging)
    settled = settle(recognise(golden_case("swin_unetr_v2").shapes), options, path)
    assert settled.arguments["downsample"] == order
    assert settled.trained_with_monai == (version or None)
    assert not settled.questions


def refused(folder: Path, path: Path, options: ImportOptions | None = None, content: object = None) -> BundleRejected:
    """The error of an import, after which nothing of it is there."""
    names = labels(folder, numbered(3) if content is None else content)
    before = set(folder.iterdir())
    with pytest.raises(BundleRejected) as refusal:
        import_checkpoint(path, names, folder / "model", options)
    assert set(folder.iterdir()) == before
    return refusal.value


def test_all_that_is_open_is_asked_for_at_once(tmp_path: Path):
    refusal = refused(tmp_path, checkpoint_of("unetr_btcv", tmp_path))
    assert isinstance(refusal, CheckpointRejected)
    assert "the image size and the number of attention heads" in refusal.what
    assert "--image-size X[,Y,Z] and --heads N" in refusal.remedy
    assert [line.split(":")[0] for line in refusal.details] == ["--image-size", "--heads"]
    assert "32×32×48" in refusal.details[0]


def test_the_order_of_merging_is_asked_for_with_what_tells_it(tmp_path: Path):
    refusal = refused(tmp_path, checkpoint_of("swin_unetr_v1", tmp_path))
    assert "--merging legacy|merging|mergingv2" in refusal.remedy
    assert "every weight published for BTCV and BraTS21" in refusal.details[0]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("unetr_btcv", ImportOptions("swin-unetr"), "holds a UNETR, and not"),
        ("unetr_btcv", ImportOptions("unet"), "no network “unet” here"),
        ("unetr_btcv", ImportOptions(heads=(5,), image_size=(48, 32, 32)), "supported (5 heads do not divide the 48"),
        ("unetr_btcv", ImportOptions(heads=(4,), image_size=(96, 96, 96)), "1 tensor does not fit"),
        ("unetr_btcv", ImportOptions(heads=(4,), image_size=(50, 32, 32)), "cannot be built"),
        ("unetr_btcv", ImportOptions(merging="legacy", heads=(4,)), "--merging says nothing of a UNETR"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", heads=(1, 2, 4, 8)), "--heads 1,2,4,8 is not what"),
        ("swin_unetr_v1", ImportOptions(merging="old"), "--merging “old” is not known"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", monai_version="1.6"), "trained with MONAI 1.6"),
        ("swin_unetr_v1", ImportOptions(monai_version="latest"), "no version"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", image_size=(100,)), "multiples of 32"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", inputs=("T1", "T2")), "the network takes 4"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", recipe="abdomen"), "--recipe “abdomen” is not known"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", orientation="RSR"), "--orientation"),
        ("swin_unetr_v1", ImportOptions(merging="legacy", intensity="250,-175"), "--intensity"),
        ("unest_renal", ImportOptions(heads=(2, 4, 4)), "how the images were prepared"),
    ],
)
def test_a_users_mistake_is_named(name: str, options: ImportOptions, said: str, tmp_path: Path):
    assert said in str(refused(tmp_path, checkpoint_of(name, tmp_path), options))


def test_a_tensor_that_does_not_fit_is_listed(tmp_path: Path):
    options = ImportOptions(heads=(4,), image_size=(48, 32, 32))
    state = official_state("unetr_btcv")
    del state["vit.norm.bias"]
    state["vit.extra.weight"] = torch.zeros(2, 3)
    state["decoder2.conv_block.conv1.conv.weight"] = torch.zeros(4, 8, 5, 5, 5)
    refusal = refused(tmp_path, save(state, tmp_path / "changed.pth"), options)
    assert refusal.what.startswith("3 tensors do not fit")
    listed = "\n".join(refusal.details)
    assert "“vit.norm.bias” is missing (48)" in listed
    assert "“vit.extra.weight” is unknown (2×3)" in listed
    assert "4×8×5×5×5, not 4×8×3×3×3" in listed


def around_the_network(**beside: torch.Tensor) -> Callable[[dict], object]:
    """As PyTorch Lightning saves a class that holds the network as ``net``, and other tensors ``beside`` it."""
    return lambda state: {"state_dict": {**{f"net.{name}": tensor for name, tensor in state.items()}, **beside}}


def test_what_only_the_training_needed_is_left_behind_and_that_is_said(tmp_path: Path):
    official, case, said = OFFICIAL["unetr_btcv"], golden_case("unetr_btcv"), []
    path = checkpoint_of("unetr_btcv", tmp_path, wrap=around_the_network(**{"loss.weight": torch.ones(4)}))
    names = labels(tmp_path, numbered(official.classes))
    bundle = import_checkpoint(path, names, tmp_path / "model", official.options, said.append)
    assert case.deviation(answer(bundle, case, official.output), official.output) < MARK
    assert "Left behind: 1 tensor (of the loss or a metric)" in said


def test_what_lies_beside_the_network_otherwise_is_listed(tmp_path: Path):
    wrap = around_the_network(**{"refining.weight": torch.ones(4)})
    refusal = refused(tmp_path, checkpoint_of("unetr_btcv", tmp_path, wrap=wrap), OFFICIAL["unetr_btcv"].options)
    assert list(refusal.details) == ["“refining.weight” is unknown (4)"]


def test_no_option_is_named_where_none_can_help(tmp_path: Path):
    state = official_state("transunet_vit")
    convolution = "transformer.embeddings.patch_embeddings.weight"
    state[convolution] = torch.zeros(*state[convolution].shape[:2], 32, 32)
    refusal = refused(tmp_path, save(state, tmp_path / "patches_of_32.pth"), ImportOptions(heads=(4,)))
    assert "“patch_size” is “32”" in refusal.why
    assert "--" not in refusal.remedy


def test_weights_that_are_not_finite_leave_no_bundle(tmp_path: Path):
    state = official_state("unetr_btcv")
    state["out.conv.conv.bias"] = torch.full((4,), float("nan"))
    path = save(state, tmp_path / "diverged.pth")
    assert "NaN" in str(refused(tmp_path, path, OFFICIAL["unetr_btcv"].options))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "empty.pth").write_bytes(content)
    refused(tmp_path, tmp_path / "empty.pth")


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path: Path):
    assert "“nothing.pth” does not exist" in str(refused(tmp_path, tmp_path / "nothing.pth"))


def test_a_network_that_classifies_is_refused(tmp_path: Path):
    state = {"conv1.weight": torch.zeros(8, 3, 7, 7), "fc.weight": torch.zeros(10, 8), "fc.bias": torch.zeros(10)}
    assert "classifies images" in str(refused(tmp_path, save(state, tmp_path / "resnet.pth")))


def test_the_wrong_number_of_labels_is_refused_with_both_numbers(tmp_path: Path):
    path = checkpoint_of("unetr_btcv", tmp_path)
    refusal = refused(tmp_path, path, OFFICIAL["unetr_btcv"].options, numbered(4))
    assert isinstance(refusal, LabelsRejected)
    assert "name 4 classes, and the network scores 3 classes" in refusal.what


def test_a_model_is_never_overwritten(tmp_path: Path):
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputRejected, match="never overwritten"):
        imported("unetr_btcv", tmp_path)
    assert not list((tmp_path / "model").iterdir())


def test_one_volume_is_prepared_as_for_btcv_and_the_card_says_that_this_is_assumed(tmp_path: Path):
    bundle = imported("unetr_btcv", tmp_path)
    btcv = ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True)
    assert bundle.plan.preparation == (Orientation("RAS"), Spacing((1.5, 1.5, 2.0)), btcv)
    assert bundle.plan.window == WindowPlan((48, 32, 32), overlap=(0.5,) * 3)
    assert (bundle.plan.output.activation, bundle.plan.output.threshold) == (Activation.SOFTMAX, None)
    assert bundle.card.requirements.modality == "CT"
    assert any(limit.startswith("The preparation is assumed: RAS, 1.5×1.5×2 mm") for limit in bundle.card.limits)
    assert "The preparation is assumed" in (bundle.folder / "docs" / "README.md").read_text(encoding="utf-8")


def test_four_volumes_are_prepared_as_for_brats_and_their_classes_overlap(tmp_path: Path):
    path = checkpoint_of("swin_unetr_v1", tmp_path)
    names = labels(tmp_path, ["Tumour core", "Whole tumour", "Enhancing tumour"])
    bundle = import_checkpoint(path, names, tmp_path / "model", swin("legacy"))
    assert [channel.name for channel in bundle.card.inputs] == ["FLAIR", "T1ce", "T1", "T2"]
    assert bundle.plan.preparation == (NormalizeIntensity(nonzero=True, channel_wise=True),)
    assert bundle.plan.window == WindowPlan((128,) * 3, overlap=(0.5,) * 3)
    assert (bundle.plan.output.activation, bundle.plan.output.threshold) == (Activation.SIGMOID, 0.5)
    assert [(each.label, each.channel) for each in bundle.card.classes] == [(1, 0), (2, 1), (3, 2)]


def test_slices_are_prepared_as_for_synapse_and_their_labels_restored(tmp_path: Path):
    bundle = imported("transunet_r50", tmp_path)
    synapse = ScaleIntensityRange(-125.0, 275.0, 0.0, 1.0, clip=True)
    assert bundle.plan.preparation == (Orientation("SLA"), synapse)
    assert bundle.plan.window == SlicePlan((64, 64))
    assert bundle.plan.output.restore_labels
    assert bundle.card.slices == "axial"


def test_what_the_user_says_of_the_preparation_goes_before_the_recipe(tmp_path: Path):
    options = ImportOptions(
        merging="merging",
        modality="MR",
        spacing_mm=(1.0,),
        intensity="z-score",
        orientation="LPS",
        image_size=(64, 64, 32),
        inputs=("T2",),
        licence="CC-BY-4.0",
        title="Prostate",
    )
    path = checkpoint_of("swin_unetr_v2", tmp_path)
    bundle = import_checkpoint(path, labels(tmp_path, ["prostate"]), tmp_path / "model", options)
    steps = (Orientation("LPS"), Spacing((1.0, 1.0, 1.0)), NormalizeIntensity(channel_wise=True))
    assert bundle.plan.preparation == steps
    assert bundle.plan.window.size == (64, 64, 32)
    assert bundle.plan.window.weighting is Weighting.CONSTANT
    card = bundle.card
    assert (card.title, card.licence, card.requirements.modality) == ("Prostate", "CC-BY-4.0", "MR")
    assert [(channel.name, channel.hints) for channel in card.inputs] == [("T2", ("t2w", "t2"))]
    (limit,) = card.limits
    assert limit.startswith("The normalisation of the encoder's features (True) is assumed")


def test_a_preparation_that_is_assumed_in_part_is_said_to_be(tmp_path: Path):
    options = replace(OFFICIAL["unetr_btcv"].options, spacing_mm=())
    path = checkpoint_of("unetr_btcv", tmp_path)
    (limit,) = import_checkpoint(path, labels(tmp_path, numbered(3)), tmp_path / "model", options).card.limits
    assert "RAS, own spacing" in limit
    assert "but for what was said at the import" in limit


def test_coronal_slices_lie_across_the_axis_that_is_asked_for(tmp_path: Path):
    path = checkpoint_of("swinunet", tmp_path)
    bundle = import_checkpoint(path, labels(tmp_path, numbered(3)), tmp_path / "model", ImportOptions(slices="coronal"))
    assert bundle.card.slices == "coronal"


def random_checkpoint(folder: Path, architecture: str, **arguments: object) -> Path:
    torch.manual_seed(0)
    return save(build(architecture, arguments).state_dict(), folder / "other.pth")


@pytest.mark.parametrize(
    ("architecture", "arguments", "options"),
    [
        ("UNETR", {"in_channels": 4, "out_channels": 3, "img_size": 16, "feature_size": 2, "hidden_size": 24,
                   "num_heads": 2, "norm_name": "batch"}, ImportOptions(heads=(2,))),
        ("UNETR", {"in_channels": 1, "out_channels": 4, "img_size": [16, 32, 48], "feature_size": 4, "mlp_dim": 50,
                   "hidden_size": 36, "num_heads": 6, "proj_type": "perceptron", "res_block": False},
         ImportOptions(heads=(6,), image_size=(16, 32, 48))),
        ("SwinUNETR", {"in_channels": 1, "out_channels": 4, "feature_size": 12, "depths": [1, 2, 1, 1],
                       "num_heads": [1, 2, 4, 8], "window_size": 3, "downsample": "legacy", "mlp_ratio": 2.0},
         swin("legacy")),
        ("SwinUNETR", {"in_channels": 1, "out_channels": 4, "feature_size": 12, "window_size": [3, 2, 4],
                       "use_v2": True, "downsample": "mergingv2"},
         ImportOptions(merging="mergingv2", window_size=(3, 2, 4))),
    ],
)  # fmt: skip
def test_networks_of_other_sizes_are_imported_whole(architecture: str, arguments, options, tmp_path: Path):
    path = random_checkpoint(tmp_path, architecture, **arguments)
    bundle = import_checkpoint(path, labels(tmp_path, numbered(3)), tmp_path / "model", options)
    torch.manual_seed(0)
    own = build(architecture, arguments).state_dict()
    stored = bundle.network().state_dict()
    assert stored.keys() == own.keys()
    assert all(torch.equal(stored[name], own[name]) for name in own if "cross_attn" not in name)


def test_a_window_that_is_not_the_one_of_the_stored_tables_is_refused(tmp_path: Path):
    path = random_checkpoint(
        tmp_path, "SwinUNETR", in_channels=1, out_channels=4, feature_size=12, window_size=[3, 2, 4],
        downsample="mergingv2",
    )  # fmt: skip
    options = ImportOptions(merging="mergingv2", window_size=(4, 3, 2))
    assert "is not the one that the network uses" in str(refused(tmp_path, path, options))


def test_what_was_recognised_assumed_and_left_behind_is_said(tmp_path: Path):
    path, lines = checkpoint_of("unetr_btcv", tmp_path, wrap=with_optimizer), []
    options = OFFICIAL["unetr_btcv"].options
    import_checkpoint(path, labels(tmp_path, numbered(3)), tmp_path / "model", options, lines.append)
    said = "\n".join(lines)
    assert "Recognised: UNETR, MONAI 0.7 (the BTCV release); 599,972 parameters in 174 tensors" in said
    assert "The preparation is assumed" in said
    assert "Left behind: 3 tensors (shortcut" in said
    assert "Left behind: 1 tensor (class token" in said
    assert "optimizer, scheduler of the training" in said


@pytest.mark.skipif(not SHARED.is_dir(), reason="the golden data as published are not here")
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_files_themselves_are_imported(name: str, tmp_path: Path):
    folder = SHARED if (SHARED / f"{name}.pth.xz").exists() else SHARED / "unest"
    official = OFFICIAL[name]
    path = tmp_path / f"{name}.pth"
    path.write_bytes(lzma.decompress((folder / f"{name}.pth.xz").read_bytes()))
    names = labels(tmp_path, numbered(official.classes))
    bundle = import_checkpoint(path, names, tmp_path / "model", official.options)
    with np.load(folder / f"{name}.npz") as golden, torch.inference_mode():
        given = golden["input_gray" if official.output.endswith("gray") else "input"]
        answered = bundle.network()(torch.from_numpy(given)).numpy()
        expected = golden[official.output]
    assert np.abs(answered - expected).max() / expected.std() < MARK


def command(arguments: list[object], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["transformerseg", "import", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_asks_for_what_is_open_and_then_says_how_to_use_the_model(tmp_path: Path, monkeypatch, capsys):
    path, names = checkpoint_of("unetr_btcv", tmp_path), labels(tmp_path, numbered(3))
    given = [path, "--labels", names, "--output", tmp_path / "model"]
    assert command(given, monkeypatch) == EXIT_BAD_INPUT
    error = capsys.readouterr().err.splitlines()
    assert error[0].endswith("Add --image-size X[,Y,Z] and --heads N.")
    assert [line.split(":")[0].strip() for line in error[1:]] == ["--image-size", "--heads"]
    answers = ["--image-size", "48x32x32", "--heads", 4, "--intensity", "-160,240", "--spacing", "none"]
    assert command([*given, *answers], monkeypatch) == 0
    assert f"--model {tmp_path / 'model'}" in capsys.readouterr().out
    steps = read_bundle(tmp_path / "model").plan.preparation
    assert steps == (Orientation("RAS"), ScaleIntensityRange(-160.0, 240.0, 0.0, 1.0, clip=True))


@pytest.mark.parametrize("wrong", [["--heads", "a"], ["--image-size", "1,2,3,4"], ["--spacing", "0"]])
def test_numbers_that_are_none_are_refused_by_their_option(wrong: list[str], tmp_path: Path, monkeypatch, capsys):
    given = [tmp_path / "x.pth", "--labels", tmp_path / "l.json", "--output", tmp_path / "model", *wrong]
    assert command(given, monkeypatch) == EXIT_BAD_INPUT
    assert wrong[0] in capsys.readouterr().err
