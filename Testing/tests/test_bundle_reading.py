"""A bundle's configuration is read as data: what is on the allow-list becomes a plan, all else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from TransformerSegLib.bundles.configuration import Configuration
from TransformerSegLib.bundles.output import read_output
from TransformerSegLib.bundles.plan import (
    Activation,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.bundles.preparation import read_preparation
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.template import inference_configuration
from TransformerSegLib.bundles.window import read_window
from TransformerSegLib.errors import BundleRejected

from bundle_factory import change_json, write_bundle, write_json

IMAGE = {"keys": "image"}
PRED = {"keys": "pred"}


def transform(target: str, keys: dict[str, object] = IMAGE, **arguments: object) -> dict[str, object]:
    return {"_target_": target, **keys, **arguments}


def compose(*transforms: dict[str, object]) -> dict[str, object]:
    return {"_target_": "Compose", "transforms": list(transforms)}


def published_bundle(folder: Path, **parts: object) -> Path:
    """A bundle in the manner of MONAI's Model Zoo: old arguments, ITKReader, code in every part that is not needed."""
    configuration = {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "patch": {"size": 96},
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "SwinUNETR",
            "spatial_dims": 3,
            "img_size": "@patch::size",
            "in_channels": 1,
            "out_channels": 14,
            "feature_size": 48,
            "use_checkpoint": False,
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": compose(
            transform("LoadImaged", reader="ITKReader"),
            transform("EnsureChannelFirstd"),
            transform("Orientationd", axcodes="RAS"),
            transform("Spacingd", pixdim=[1.5, 1.5, 2.0], mode="bilinear"),
            transform("ScaleIntensityRanged", a_min=-175, a_max=250, b_min=0.0, b_max=1.0, clip=True),
            transform("EnsureTyped", device="@device"),
        ),
        "datalist": "$list(sorted(glob.glob('/*.nii.gz')))",
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": ["@patch#size", "@patch#size", "@patch#size"],
            "sw_batch_size": 4,
            "overlap": 0.5,
            "mode": "$monai.utils.BlendMode.GAUSSIAN",
            "device": "@device",
        },
        "postprocessing": compose(
            transform("Activationsd", PRED, softmax=True),
            transform("Invertd", PRED, transform="@preprocessing", orig_keys="image", nearest_interp=False),
            transform("AsDiscreted", PRED, argmax=True),
            transform("SaveImaged", PRED, output_dir="@output_dir"),
        ),
        "handlers": [{"_target_": "os.system", "command": "$exit()"}],
        "run": ["$@evaluator.run()"],
    }
    metadata = {"version": "0.3.7", "monai_version": "1.0.1", "task": "Organs"}
    write_json(folder / "configs" / "inference.json", configuration | parts)
    write_json(folder / "configs" / "metadata.json", metadata)
    (folder / "models").mkdir()
    (folder / "models" / "model.pt").write_bytes(b"")
    return folder


def test_a_published_bundle_with_old_arguments_is_understood(tmp_path: Path):
    plan = read_bundle(published_bundle(tmp_path / "organs")).plan
    assert plan.network.architecture == "SwinUNETR"
    assert plan.network.arguments == {
        "in_channels": 1,
        "out_channels": 14,
        "feature_size": 48,
        "spatial_dims": 3,
        "downsample": "legacy",
    }
    assert plan.preparation == (
        Orientation("RAS"),
        Spacing((1.5, 1.5, 2.0)),
        ScaleIntensityRange(-175.0, 250.0, 0.0, 1.0, clip=True),
    )
    assert plan.window == WindowPlan((96, 96, 96), 4, (0.5, 0.5, 0.5), Weighting.GAUSSIAN)
    assert plan.output == OutputPlan(Activation.SOFTMAX)


@pytest.mark.parametrize(
    "output",
    [
        OutputPlan(),
        OutputPlan(nearest=True),
        OutputPlan(Activation.NONE, restore_labels=True, nearest=True),
        OutputPlan(Activation.SIGMOID, threshold=0.4),
    ],
)
def test_what_is_written_is_read_back(tmp_path: Path, output: OutputPlan):
    preparation = (
        Orientation("LPS"),
        Spacing((1.0, 1.5, 2.0), "nearest"),
        NormalizeIntensity(nonzero=True),
        NormalizeIntensity(subtrahend=(5.0,), divisor=(2.0,)),
        NormalizeIntensity(channel_wise=True, subtrahend=(5.0, 6.0), divisor=(2.0, 3.0)),
        ScaleIntensity(-1.0, 1.0, channel_wise=True),
        ScaleIntensityRange(0.0, 100.0),
        ScaleIntensityRangePercentiles(1.0, 99.0, 0.0, 1.0, clip=True, relative=True),
    )
    window = WindowPlan((32, 32, 32), 2, (0.25, 0.5, 0.625), Weighting.GAUSSIAN, 0.2, "reflect", -1.0)
    folder = write_bundle(tmp_path / "b", preparation=preparation, window=window, output=output, inputs=("a", "b"))
    plan = read_bundle(folder).plan
    assert (plan.preparation, plan.window, plan.output) == (preparation, window, output)
    written = json.loads((folder / "configs" / "inference.json").read_text())
    assert inference_configuration(plan, ("a", "b")) == written


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ([transform("monai.transforms.Orientationd", axcodes="LAS")], (Orientation("LAS"),)),
        ([transform("monai.transforms.spatial.array.Orientation", {}, axcodes="LAS")], (Orientation("LAS"),)),
        ([transform("OrientationD", as_closest_canonical=True)], (Orientation("RAS"),)),
        ([transform("Spacingd", pixdim=2.0, mode=["nearest"])], (Spacing((2.0, 2.0, 2.0), "nearest"),)),
        ([transform("Spacingd", pixdim=[1, 2], mode=1)], (Spacing((1.0, 2.0, 2.0)),)),
        ([transform("Spacingd", pixdim=3, mode="$GridSampleMode.NEAREST")], (Spacing((3.0, 3.0, 3.0), "nearest"),)),
        ([transform("NormalizeIntensityd", nonzero="True", channel_wise="True")], (NormalizeIntensity(True, True),)),
        ([transform("ScaleIntensityd", minv="$-1", dtype="$np.float32", _desc_="of MR")], (ScaleIntensity(-1.0),)),
        ([transform("Orientationd", axcodes="RAS", _disabled_=True)], ()),
        ([transform("AddChanneld"), transform("CastToTyped", dtype="$torch.float32"), transform("ToTensord")], ()),
        ([compose(transform("Orientationd", axcodes="RAS"))], (Orientation("RAS"),)),
    ],
)  # fmt: skip
def test_spellings_of_transforms_mean_the_same(given: list[dict[str, object]], steps: tuple[object, ...]):
    configuration = Configuration({"preprocessing": compose(*given)})
    assert read_preparation(configuration.resolved("preprocessing")) == steps


def test_images_that_are_joined_late_are_normalised_each_by_itself():
    both = {"keys": ["t1", "t2"]}
    given = [transform(name, both) for name in ("LoadImaged", "NormalizeIntensityd")]
    steps = read_preparation([*given, transform("ConcatItemsd", both, name="image")])
    assert steps == (NormalizeIntensity(channel_wise=True),)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([transform("CropForegroundd", source_key="image")], "CropForegroundd"),
        ([transform("os.system", command="true")], "os.system"),
        ([transform("builtins.eval")], "builtins.eval"),
        ([transform("monai.transforms.Lambdad", func="$lambda x: x")], "Lambdad"),
        ([transform("evil.monai.transforms.Spacingd", pixdim=1)], "evil"),
        ([transform("Spacingd", pixdim=[1, 1, 1], mode=3)], "mode"),
        ([transform("Spacingd", pixdim=[1, 1, -1])], "pixdim"),
        ([transform("Spacingd", pixdim=[1, 1, 1], diagonal=True)], "diagonal"),
        ([transform("Spacingd", pixdim="$[__import__('os').getpid()] * 3")], "Python expression"),
        ([transform("Spacingd", pixdim=["$1/0", 1, 1])], "Python expression"),
        ([transform("Spacingd")], "“pixdim” is missing"),
        ([transform("Spacingd", pixdim=1, surprise=2)], "“surprise” is not known"),
        ([transform("Orientationd", axcodes="RLS")], "the axes “RLS”"),
        ([transform("Orientationd", axcodes="RAS", labels=[["R", "L"]])], "labels"),
        ([transform("NormalizeIntensityd", nonzero="False")], "nonzero"),
        ([transform("NormalizeIntensityd", subtrahend=[1, 2])], "channel_wise"),
        ([transform("CastToTyped", dtype="float16")], "dtype"),
        ([transform("$monai.transforms.Spacingd", pixdim=1)], "Python expression"),
        ([transform("Spacingd", pixdim=1, _mode_="debug")], "_mode_"),
        ([transform("Spacingd", pixdim=1, _disabled_="$True or exit()")], "the switch (_disabled_)"),
        (["$print('hello')"], "Python expression"),
        ([{"no": "target"}], "_target_"),
        ([transform("LoadImaged", {"keys": ["t1", "t2"]})], "ConcatItems"),
        ([transform("LoadImaged", {"keys": ["t1", "t2"]}), transform("ToTensord", {"keys": "t1"})], "the keys “t1”"),
        ([transform("LoadImaged", {"keys": 5})], "keys"),
        ([{**compose(), "overrides": {}}], "overrides"),
    ],
)  # fmt: skip
def test_a_preprocessing_that_is_not_on_the_list_is_refused_by_name(given: list[object], words: str):
    configuration = Configuration({"preprocessing": compose(*given)})
    with pytest.raises(BundleRejected) as refusal:
        read_preparation(configuration.resolved("preprocessing"))
    assert words in str(refusal.value)


PREPROCESSING = [transform("LoadImaged")]
SOFTMAX = transform("Activationsd", PRED, softmax=True)
SIGMOID = transform("Activationsd", PRED, sigmoid=True)
ARGMAX = transform("AsDiscreted", PRED, argmax=True)
THRESHOLD = transform("AsDiscreted", PRED, threshold=0.8)
INVERT = transform("Invertd", PRED, transform=PREPROCESSING, orig_keys="image", nearest_interp=False)
INVERT_NEAREST = transform("Invertd", PRED, transform=PREPROCESSING)


@pytest.mark.parametrize(
    ("given", "plan"),
    [
        ([SOFTMAX, INVERT, ARGMAX], OutputPlan(Activation.SOFTMAX)),
        ([SOFTMAX, INVERT_NEAREST, ARGMAX], OutputPlan(Activation.SOFTMAX, nearest=True)),
        ([SOFTMAX, ARGMAX, INVERT_NEAREST], OutputPlan(Activation.SOFTMAX, restore_labels=True, nearest=True)),
        ([INVERT, SOFTMAX, ARGMAX], OutputPlan(Activation.NONE)),
        ([INVERT, ARGMAX], OutputPlan(Activation.NONE)),
        ([ARGMAX], OutputPlan(Activation.NONE)),
        ([SIGMOID, INVERT, THRESHOLD], OutputPlan(Activation.SIGMOID, threshold=0.8)),
        ([INVERT, SIGMOID, THRESHOLD], OutputPlan(Activation.NONE, threshold=pytest.approx(1.3862944))),
        (
            [transform("AsDiscreted", {"keys": ["pred", "label"]}, argmax=[True, False], to_onehot=[None, 14])],
            OutputPlan(Activation.NONE),
        ),
    ],
)
def test_the_order_of_the_postprocessing_decides_what_is_restored(given: list[dict[str, object]], plan: OutputPlan):
    assert read_output(compose(*given), PREPROCESSING) == plan


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([SOFTMAX, INVERT], "how scores become labels"),
        ([SOFTMAX, SIGMOID, ARGMAX], "twice"),
        ([ARGMAX, SOFTMAX], "labels"),
        ([ARGMAX, ARGMAX], "one argmax"),
        ([transform("AsDiscreted", PRED, argmax=True, threshold=0.5)], "one argmax"),
        ([transform("AsDiscreted", PRED, argmax=True, to_onehot=14)], "to_onehot"),
        ([INVERT, INVERT, ARGMAX], "twice"),
        ([INVERT | {"transform": []}, ARGMAX], "other than the preprocessing"),
        ([INVERT | {"post_func": "$lambda x: x"}, ARGMAX], "Python expression"),
        ([transform("Activationsd", PRED, other="$torch.tanh"), ARGMAX], "Python expression"),
        ([transform("Activationsd", {"keys": "image"}, softmax=True), ARGMAX], "image"),
        ([ARGMAX, transform("KeepLargestConnectedComponentd", PRED)], "KeepLargestConnectedComponentd"),
        ([INVERT, SOFTMAX, THRESHOLD], "threshold"),
    ],
)  # fmt: skip
def test_a_postprocessing_that_is_not_understood_is_refused(given: list[dict[str, object]], words: str):
    with pytest.raises(BundleRejected) as refusal:
        read_output(compose(*given), PREPROCESSING)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"_target_": "SimpleInferer"}, "SimpleInferer"),
        ({"_target_": "os.system"}, "os.system"),
        ({"roi_size": [96, 96]}, "roi_size"),
        ({"roi_size": [96, 96, -1]}, "roi_size"),
        ({"roi_size": [10**9] * 3}, "roi_size"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": "$1 - 2**-9"}, "Python expression"),
        ({"mode": "sharp"}, "mode"),
        ({"sw_batch_size": 0}, "sw_batch_size"),
        ({"sigma_scale": [0.1, 0.1, 0.2]}, "sigma_scale"),
        ({"with_coord": True}, "with_coord"),
    ],
)
def test_an_inferer_that_is_not_understood_is_refused(changes: dict[str, object], words: str):
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], **changes}
    with pytest.raises(BundleRejected) as refusal:
        read_window(inferer)
    assert words in str(refusal.value)


def test_an_inferer_in_short_spelling_has_monais_defaults():
    inferer = {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": 64, "progress": True}
    assert read_window(inferer) == WindowPlan((64, 64, 64))


def test_references_lead_to_what_they_name():
    configuration = Configuration({"a": {"b": [1, {"c": "@d"}]}, "d": "%e", "e": "$@f", "f": "$(2.5, True, None)"})
    assert configuration.resolved("a") == {"b": [1, {"c": [2.5, True, None]}]}
    assert configuration.resolved("a::b::1::c") == [2.5, True, None]


@pytest.mark.parametrize(
    "expression", ["$torch.cuda.is_available()", "$@a + 1", "$lambda x: x", "$1j", "$b'x'", "$float('inf')", "$("]
)
def test_an_expression_that_is_no_constant_stays_a_text(expression: str):
    assert Configuration({"a": expression}).resolved("a") == expression


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": "@missing"}, "“@missing”"),
        ({"a": ["@a"]}, "without end"),
        ({"a": "@b", "b": "@a"}, "without end"),
        ({"a": ["@b"] * 50, "b": ["@c"] * 50, "c": ["@d"] * 50, "d": [1] * 50}, "more than 20000 values"),
        ({"a": "%../../secrets.json::key"}, "another file"),
        ({"b": 1}, "“a”"),
    ],
)
def test_references_that_lead_nowhere_round_in_circles_or_outside_are_refused(content: dict[str, object], words: str):
    with pytest.raises(BundleRejected) as refusal:
        Configuration(content).resolved("a")
    assert words in str(refusal.value)


def nested(depth: int) -> str:
    return '{"preprocessing": ' + "[" * depth + "]" * depth + "}"


def rename_to_torchscript(folder: Path) -> None:
    (folder / "models" / "model.safetensors").rename(folder / "models" / "model.ts")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "configs" / "inference.json").unlink(), "configs/inference.json"),
        (lambda folder: (folder / "configs" / "metadata.json").unlink(), "configs/metadata.json"),
        (lambda folder: (folder / "models" / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "models").rename(folder / "weights"), "no weights"),
        (rename_to_torchscript, "TorchScript"),
        (lambda folder: (folder / "configs" / "inference.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "configs" / "inference.json").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda folder: (folder / "configs" / "inference.json").write_text("[1]"), "does not hold an object"),
        (lambda folder: (folder / "configs" / "inference.json").write_text('{"a": NaN}'), "NaN"),
        (lambda folder: (folder / "configs" / "inference.json").write_text(nested(100_000)), "cannot be read"),
        (lambda folder: (folder / "configs" / "inference.json").write_text(nested(500)), "without end"),
        (lambda folder: change_json(folder / "configs" / "inference.json", network_def=None), "network_def"),
        (lambda folder: change_json(folder / "configs" / "inference.json", network_def="$exit()"), "Python expression"),
        (
            lambda folder: change_json(
                folder / "configs" / "inference.json", inferer={"_target_": "SlidingWindowInferer", "roi_size": 96}
            ),
            "does not suit its network",
        ),
    ],
)  # fmt: skip
def test_a_damaged_bundle_is_refused_with_its_own_sentence(
    tmp_path: Path, damage: Callable[[Path], object], words: str
):
    folder = write_bundle(tmp_path / "bundle")
    damage(folder)
    with pytest.raises(BundleRejected) as refusal:
        read_bundle(folder)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["configs/inference.json", "configs/metadata.json", "models/model.safetensors", "LICENSE"]
)
def test_a_link_that_leaves_the_bundle_is_refused(tmp_path: Path, name: str):
    folder = write_bundle(tmp_path / "bundle")
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(BundleRejected, match="link to a file outside"):
        read_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(BundleRejected, match="no folder"):
        read_bundle(tmp_path / "nothing")


@pytest.mark.parametrize("part", ["imports", "network", "dataset", "handlers", "evaluator", "initialize", "run"])
def test_code_in_parts_that_are_not_needed_is_neither_run_nor_in_the_way(tmp_path: Path, part: str):
    canary = tmp_path / "canary"
    code = f"$__import__('pathlib').Path({str(canary)!r}).touch()"
    folder = published_bundle(tmp_path / "bundle", **{part: [code, {"_target_": code}]})
    assert read_bundle(folder).plan.network.architecture == "SwinUNETR"
    assert not canary.exists()


@pytest.mark.parametrize("part", ["network_def", "preprocessing", "inferer", "postprocessing"])
@pytest.mark.parametrize("hide", [lambda code: code, lambda code: {"_target_": code}, lambda code: [code]])
def test_code_in_parts_that_are_needed_is_refused_and_not_run(tmp_path: Path, part: str, hide: Callable[[str], object]):
    canary = tmp_path / "canary"
    folder = published_bundle(tmp_path / "b", **{part: hide(f"$__import__('pathlib').Path({str(canary)!r}).touch()")})
    with pytest.raises(BundleRejected):
        read_bundle(folder)
    assert not canary.exists()
