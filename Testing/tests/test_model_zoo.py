"""Bundles of MONAI's Model Zoo, with configurations as they are published and random weights: they run, and neither the
``$`` expressions in them nor the Python that two of them bring does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import NetworkPlan, NormalizeIntensity, Orientation, ScaleIntensityRange, Spacing
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.networks.registry import build

from bundle_factory import write_json

WINDOW = (96, 96, 96)
IMAGE = {"keys": "image"}
IMAGE_KEY = {"keys": "@image_key"}
PRED = {"keys": "pred"}
HOUNSFIELD = {"a_min": -175, "a_max": 250, "b_min": 0.0, "b_max": 1.0, "clip": True}

ORGANS_NETWORK = {
    "_target_": "SwinUNETR",
    "spatial_dims": 3,
    "img_size": 96,
    "in_channels": 1,
    "out_channels": 14,
    "feature_size": 48,
    "use_checkpoint": False,
}
ORGANS_PREPARATION = [
    {"_target_": "LoadImaged", **IMAGE_KEY, "reader": "ITKReader"},
    {"_target_": "EnsureChannelFirstd", **IMAGE_KEY},
    {"_target_": "Orientationd", **IMAGE_KEY, "axcodes": "RAS"},
    {"_target_": "Spacingd", **IMAGE_KEY, "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    {"_target_": "ScaleIntensityRanged", **IMAGE_KEY, **HOUNSFIELD},
    {"_target_": "EnsureTyped", **IMAGE_KEY},
]
ORGANS = (
    "background",
    "spleen",
    "Right Kidney",
    "Left Kideny",
    "Gallbladder",
    "Esophagus",
    "Liver",
    "Stomach",
    "Aorta",
    "IVC",
    "Portal and Splenic Veins",
    "Pancreas",
    "Right adrenal gland",
    "Left adrenal gland",
)

BRAIN_NETWORK = {
    "_target_": "scripts.networks.unest_base_patch_4.UNesT",
    "in_channels": 1,
    "out_channels": 133,
    "patch_size": 4,
    "depths": [2, 2, 8],
    "embed_dim": [128, 256, 512],
    "num_heads": [4, 8, 16],
}
BRAIN_PREPARATION = [
    {"_target_": "LoadImaged", **IMAGE},
    {"_target_": "EnsureChannelFirstd", **IMAGE},
    {"_target_": "NormalizeIntensityd", **IMAGE, "nonzero": "True", "channel_wise": "True"},
    {"_target_": "EnsureTyped", **IMAGE},
]
RENAL_NETWORK = {"_target_": "scripts.networks.unest.UNesT", "in_channels": 1, "out_channels": 4}
RENAL_PREPARATION = [
    {"_target_": "LoadImaged", **IMAGE},
    {"_target_": "EnsureChannelFirstd", **IMAGE, "channel_dim": "no_channel"},
    {"_target_": "Orientationd", **IMAGE, "axcodes": "RAS"},
    {"_target_": "Spacingd", **IMAGE, "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"},
    {"_target_": "ScaleIntensityRanged", **IMAGE, **HOUNSFIELD},
    {"_target_": "EnsureTyped", **IMAGE},
]
RENAL_CLASSES = {"0": "background", "1": "kidney cortex", "2": "medulla", "3": "pelvicalyceal system"}


def configuration(network: dict, preparation: list, overlap: float) -> dict[str, object]:
    """What the three bundles have in common."""
    return {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "$@bundle_root + '/dataset/images'",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": preparation},
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 4},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(WINDOW),
            "sw_batch_size": 4,
            "overlap": overlap,
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", **PRED, "softmax": True},
                {
                    "_target_": "Invertd",
                    **PRED,
                    "transform": "@preprocessing",
                    "orig_keys": "image",
                    "meta_key_postfix": "meta_dict",
                    "nearest_interp": False,
                    "to_tensor": True,
                },
                {"_target_": "AsDiscreted", **PRED, "argmax": True},
                {"_target_": "SaveImaged", **PRED, "meta_keys": "pred_meta_dict", "output_dir": "@output_dir"},
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "$@bundle_root + '/models/model.pt'",
                "load_dict": {"model": "@network"},
                "strict": "True",
            },
            {"_target_": "StatsHandler", "iteration_log": False},
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
            "amp": False,
        },
        "evaluating": ["$setattr(torch.backends.cudnn, 'benchmark', True)", "$@evaluator.run()"],
    }


def organs_configuration(network: dict) -> dict[str, object]:
    """That of the organs is written with names for what may be changed from outside."""
    common = configuration(network, ORGANS_PREPARATION, overlap=0.5)
    softmax, _, argmax, _ = common["postprocessing"]["transforms"]
    invert = {"transform": "@preprocessing", "orig_keys": "@image_key", "nearest_interp": False, "to_tensor": True}
    saved = {name: f"@{name}" for name in ("output_dir", "output_ext", "output_dtype", "output_postfix")}
    transforms = [
        softmax,
        {"_target_": "Invertd", **PRED, **invert},
        argmax,
        {"_target_": "SaveImaged", **PRED, **saved, "separate_folder": "@separate_folder"},
    ]
    return {
        **common,
        "imports": ["$import glob", "$import numpy", "$import os"],
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "image_key": "image",
        "output_ext": ".nii.gz",
        "output_dtype": "$numpy.float32",
        "output_postfix": "trans",
        "separate_folder": True,
        "load_pretrain": True,
        "dataset_dir": "/workspace/data/RawData/",
        "postprocessing": {"_target_": "Compose", "transforms": transforms},
        "evaluator": {**common["evaluator"], "amp": True},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@checkpoint",
            "load_dict": {"model": "@network"},
        },
        "initialize": [
            "$monai.utils.set_determinism(seed=123)",
            "$@checkpointloader(@evaluator) if @load_pretrain else None",
        ],
        "run": ["$@evaluator.run()"],
    }


def metadata(modality: str, classes: dict[str, str], dice: float, **more: object) -> dict[str, object]:
    shape = {"spatial_shape": list(WINDOW), "dtype": "float32", "value_range": [0, 1], "is_patch_data": True}
    image = {"type": "image", "format": "hounsfield", "modality": modality, "num_channels": 1, **shape}
    pred = {"type": "image", "format": "segmentation", "num_channels": len(classes), **shape}
    return {
        "version": "0.2.5",
        "monai_version": "1.4.0",
        "optional_packages_version": {"nibabel": "3.2.1", "einops": "0.4.1", "timm": "0.6.7"},
        "task": "Segmentation",
        "authors": "Vanderbilt University + MONAI team",
        "eval_metrics": {"mean_dice": dice},
        "network_data_format": {
            "inputs": {"image": {**image, "channel_def": {"0": "image"}}},
            "outputs": {"pred": {**pred, "channel_def": classes}},
        },
        **more,
    }


def write_published(folder: Path, configuration: dict, metadata: dict, weights: dict[str, torch.Tensor]) -> Path:
    write_json(folder / "configs" / "inference.json", configuration)
    write_json(folder / "configs" / "metadata.json", metadata)
    (folder / "scripts" / "networks").mkdir(parents=True)
    (folder / "scripts" / "networks" / "unest.py").write_text("raise SystemExit('code from a bundle was run')\n")
    (folder / "models").mkdir()
    torch.save(weights, folder / "models" / "model.pt")
    return folder


@pytest.fixture(scope="module")
def brain_weights() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build("UNesT", {"in_channels": 1, "out_channels": 133}).state_dict()


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory, brain_weights: dict[str, torch.Tensor]) -> Bundle:
    folder = tmp_path_factory.mktemp("models") / "wholeBrainSeg_Large_UNEST_segmentation"
    classes = {"0": "background"} | {str(channel): f"structure {channel}" for channel in range(1, 133)}
    asked = configuration(BRAIN_NETWORK, BRAIN_PREPARATION, overlap=0.7)
    return read_bundle(write_published(folder, asked, metadata("MRI", classes, dice=0.71), brain_weights))


@pytest.fixture(scope="module")
def renal(tmp_path_factory: pytest.TempPathFactory, brain_weights: dict[str, torch.Tensor]) -> Bundle:
    folder = tmp_path_factory.mktemp("models") / "renalStructures_UNEST_segmentation"
    weights = {name: tensor[:4] if name.startswith("out.") else tensor for name, tensor in brain_weights.items()}
    asked = configuration(RENAL_NETWORK, RENAL_PREPARATION, overlap=0.5)
    written = write_published(folder, asked, metadata("CT", RENAL_CLASSES, dice=0.85), {"model": weights})
    return read_bundle(written)


@pytest.fixture(scope="module")
def organs(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Published with 48 features; with 12 it runs in a sixteenth of the time."""
    network = {**ORGANS_NETWORK, "feature_size": 12}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = SwinUNETR(in_channels=1, out_channels=14, feature_size=12).state_dict()
    classes = {str(channel): name for channel, name in enumerate(ORGANS)}
    changes = {"0.5.4": "update to use monai 1.3.1", "0.3.3": "Update, verify MONAI 1.0.1 and Pytorch 1.13.0"}
    told = metadata("CT", classes, dice=0.82, version="0.5.6", changelog=changes)
    folder = tmp_path_factory.mktemp("models") / "swin_unetr_btcv_segmentation"
    return read_bundle(write_published(folder, organs_configuration(network), told, weights))


def test_the_abdominal_bundle_is_read_as_published(organs: Bundle):
    network = organs.plan.network
    assert (network.architecture, network.arguments["downsample"]) == ("SwinUNETR", "legacy")
    assert organs.plan.preparation[1:] == (
        Spacing((1.5, 1.5, 2.0)),
        ScaleIntensityRange(-175, 250, 0.0, 1.0, clip=True),
    )
    assert [known.name for known in organs.card.classes] == list(ORGANS)[1:]
    assert organs.card.patch_merging == "as MONAI 0.9 to 1.4"


def test_the_whole_brain_bundle_is_read_as_published(brain: Bundle):
    assert brain.plan.network == NetworkPlan("UNesT", {n: v for n, v in BRAIN_NETWORK.items() if n != "_target_"})
    assert brain.plan.preparation == (NormalizeIntensity(nonzero=True, channel_wise=True),)
    assert brain.plan.window.roi_size == WINDOW
    assert brain.plan.window.overlap == (0.7, 0.7, 0.7)
    assert len(brain.card.classes) == 132
    assert brain.card.dice == {"mean": 0.71}


def test_the_renal_bundle_is_read_as_published(renal: Bundle):
    assert renal.plan.network == NetworkPlan("UNesT", {"in_channels": 1, "out_channels": 4})
    scale = ScaleIntensityRange(-175, 250, 0.0, 1.0, clip=True)
    assert renal.plan.preparation == (Orientation("RAS"), Spacing((1.0, 1.0, 1.0)), scale)
    assert [known.name for known in renal.card.classes] == list(RENAL_CLASSES.values())[1:]


@pytest.mark.parametrize(("name", "classes"), [("organs", 13), ("brain", 132), ("renal", 3)])
def test_the_published_bundles_segment_a_volume(name: str, classes: int, request: pytest.FixtureRequest):
    bundle = request.getfixturevalue(name)
    spacing = next((step.pixdim for step in bundle.plan.preparation if isinstance(step, Spacing)), (1.0, 1.0, 1.0))
    coarse = np.random.default_rng(0).normal(scale=500.0, size=(12, 12, 12)).astype(np.float32)
    values = np.kron(coarse, np.ones((8, 8, 8), np.float32))
    found = Segmenter(bundle, "cpu").segment([Volume(values, np.diag([*spacing, 1.0]), "one window")])
    assert len(found.segments) == classes
    assert found.layers[0].shape == WINDOW
    assert len(np.unique(found.layers[0])) > 2
