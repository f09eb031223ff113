"""The configuration files of a bundle that this library writes: those of a MONAI bundle, which stock MONAI runs.

What ``read_bundle`` reads from them is what they were written from. (Stock MONAI has no inferer for networks that see
slices: what is written for those is read here only.)
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.fields import OWN_BLOCK, STANDARD_FIELDS
from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    OutputPlan,
    Plan,
    PreparationStep,
    SlicePlan,
    WindowPlan,
)
from TransformerSegLib.bundles.window import SLICE_TARGET

WEIGHTS_FILE = "model.safetensors"
"""Name of the weights file in the bundle's ``models`` folder."""

METADATA_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


def inference_configuration(plan: Plan, input_names: tuple[str, ...] = ("image",)) -> dict[str, object]:
    """``configs/inference.json``, as plain JSON values.

    ``python -m monai.bundle run --config_file configs/inference.json --bundle_root FOLDER --dataset_dir DATA`` runs
    it: on every ``*.nii.gz`` in DATA; where the model takes several inputs, on every folder in DATA, each of which
    holds one ``NAME.nii.gz`` for each of ``input_names``. The labels go to ``--output_dir``. Stock MONAI needs ignite
    and nibabel for that.

    Args:
        plan: what the bundle asks for.
        input_names: the input volumes, in the order of the network's channels.
    """
    return {
        "imports": ["$import glob", "$import os", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "weights": f"$@bundle_root + '/models/{WEIGHTS_FILE}'",
        "dataset_dir": "$@bundle_root + '/dataset'",
        "output_dir": "$@bundle_root + '/eval'",
        **_data_list(input_names),
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": plan.network.architecture, **plan.network.arguments},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(plan.preparation)},
        "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in @datalist]", "transform": "@preprocessing"},
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": _inferer(plan.window),
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(plan.output)},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "amp": False,
        },
        "initialize": [
            "$monai.utils.set_determinism(seed=0)",
            # load_state_dict copies into float32 parameters, so that half precision on disk is none in memory
            "$@network.load_state_dict(load_file(@weights))",
        ],
        "run": ["$@evaluator.run()"],
    }


def _data_list(input_names: tuple[str, ...]) -> dict[str, object]:
    if len(input_names) == 1:
        return {"datalist": "$sorted(glob.glob(os.path.join(@dataset_dir, '*.nii.gz')))"}
    return {
        "input_names": list(input_names),
        "datalist": (
            "$[[os.path.join(case, name + '.nii.gz') for name in @input_names]"
            " for case in sorted(glob.glob(os.path.join(@dataset_dir, '*', '')))]"
        ),
    }


def _transform(target: str, keys: str, **arguments: object) -> dict[str, object]:
    return {"_target_": target, "keys": keys, **arguments}


def _preprocessing(steps: tuple[PreparationStep, ...]) -> list[dict[str, object]]:
    return [
        _transform("LoadImaged", "image"),
        _transform("EnsureChannelFirstd", "image"),
        *(_transform(f"{type(step).__name__}d", "image", **_arguments(step)) for step in steps),
        _transform("EnsureTyped", "image"),
    ]


def _arguments(step: PreparationStep) -> dict[str, object]:
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(step).items()}
    if isinstance(step, NormalizeIntensity) and not step.channel_wise:
        # MONAI takes a list only where there is one number for each channel
        fields |= {name: fields[name][0] for name in ("subtrahend", "divisor") if fields[name]}
    return fields


def _inferer(window: WindowPlan | SlicePlan) -> dict[str, object]:
    if isinstance(window, SlicePlan):
        return {"_target_": SLICE_TARGET, "size": list(window.size), "sw_batch_size": window.batch_size}
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": list(window.roi_size),
        "sw_batch_size": window.batch_size,
        "overlap": list(window.overlap),
        "mode": window.weighting.value,
        "sigma_scale": window.sigma_scale,
        "padding_mode": window.padding_mode,
        "cval": window.cval,
    }


def _postprocessing(output: OutputPlan) -> list[dict[str, object]]:
    activation = []
    if output.activation is not Activation.NONE:
        activation = [_transform("Activationsd", "pred", **{output.activation.value: True})]
    discrete = {"argmax": True} if output.threshold is None else {"threshold": output.threshold}
    labels = _transform("AsDiscreted", "pred", **discrete)
    restore = _transform(
        "Invertd", "pred", transform="@preprocessing", orig_keys="image", nearest_interp=output.nearest, to_tensor=True
    )
    save = _transform(
        "SaveImaged",
        "pred",
        output_dir="@output_dir",
        output_postfix="seg",
        output_dtype="uint16",
        resample=False,
        separate_folder=False,
    )
    return [*activation, *([labels, restore] if output.restore_labels else [restore, labels]), save]


def bundle_metadata(card: Card, plan: Plan) -> dict[str, object]:
    """``configs/metadata.json``, as plain JSON values: MONAI's fields, and the rest of the card in a block of its own.

    The versions in it are those that are installed.
    """
    fields = card.model_dump(mode="json")
    inputs = {str(channel): given.name for channel, given in enumerate(card.inputs)}
    outputs = {str(given.channel): given.name for given in card.classes}
    if plan.output.threshold is None:
        outputs = {"0": "background", **outputs}
    modality = card.requirements.modality
    patch = {"spatial_shape": list(plan.window.size), "dtype": "float32", "is_patch_data": True}
    return {
        "schema": METADATA_SCHEMA,
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("einops", "safetensors")},
        "name": card.title,
        "task": card.title,
        "authors": "",
        "copyright": "",
        **{name: fields[name] for name in STANDARD_FIELDS},
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield" if modality == "CT" else "magnitude",
                    "modality": modality or "n/a",
                    "num_channels": len(card.inputs),
                    "value_range": [],
                    "channel_def": inputs,
                    **patch,
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": plan.network.arguments["out_channels"],
                    "value_range": [0, 1],
                    "channel_def": outputs,
                    **patch,
                }
            },
        },
        OWN_BLOCK: {
            **{name: value for name, value in fields.items() if name not in (*STANDARD_FIELDS, "name")},
            "slices": plan.slices,
        },
    }
