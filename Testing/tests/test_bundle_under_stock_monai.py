"""The bundles that this library writes run unchanged under MONAI's command, and give what we read them to give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from TransformerSegLib.bundles.plan import Activation, NormalizeIntensity, Orientation, OutputPlan, Spacing
from TransformerSegLib.bundles.reading import read_bundle

import stock_monai
from bundle_factory import write_bundle

SHAPE = (40, 36, 30)
AFFINE = np.array([[-0.9, 0.1, 0.0, 20.0], [0.1, 0.9, 0.0, -7.0], [0.0, 0.0, 1.4, 3.0], [0.0, 0.0, 0.0, 1.0]])
"""Index → RAS, mm: the first axis runs to the left, and the first two are turned by 6°."""


def write_volume(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).normal(100.0, 20.0, SHAPE).astype(np.float32)
    nibabel.Nifti1Image(voxels, AFFINE).to_filename(path)
    return path


def run_monai(folder: Path, data: Path, output: Path) -> np.ndarray:
    configs = folder / "configs"
    command = [sys.executable, "-m", "monai.bundle", "run"]
    command += ["--config_file", configs / "inference.json", "--meta_file", configs / "metadata.json"]
    command += ["--bundle_root", folder, "--dataset_dir", data, "--output_dir", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = output.glob("*_seg.nii.gz")
    return np.asanyarray(nibabel.load(found).dataobj)


@pytest.mark.parametrize("weights", ["model.safetensors", "model.pt"])
def test_a_softmax_bundle_gives_the_labels_that_we_read_it_to_give(tmp_path: Path, weights: str):
    folder = write_bundle(
        tmp_path / "bundle",
        preparation=(Orientation("RAS"), Spacing((1.2, 1.0, 1.5)), NormalizeIntensity()),
        weights=weights,
        half_precision=True,
    )
    volume = write_volume(tmp_path / "data" / "head.nii.gz", seed=0)
    labels = run_monai(folder, volume.parent, tmp_path / "out")
    bundle = read_bundle(folder)
    expected = stock_monai.segment(stock_monai.loaded([volume]), bundle.plan, bundle.network())
    assert np.array_equal(labels, expected)
    assert len(np.unique(labels)) > 1


def test_a_sigmoid_bundle_of_two_inputs_gives_the_masks_that_we_read_it_to_give(tmp_path: Path):
    folder = write_bundle(
        tmp_path / "bundle",
        inputs=("t1", "t2"),
        preparation=(Orientation("RAS"), NormalizeIntensity(channel_wise=True)),
        output=OutputPlan(Activation.SIGMOID, threshold=0.5),
    )
    volumes = [
        write_volume(tmp_path / "data" / "case" / f"{name}.nii.gz", seed) for seed, name in enumerate(("t1", "t2"))
    ]
    masks = run_monai(folder, tmp_path / "data", tmp_path / "out")
    bundle = read_bundle(folder)
    expected = stock_monai.segment(stock_monai.loaded(volumes), bundle.plan, bundle.network())
    assert np.array_equal(np.moveaxis(masks, -1, 0), expected)
    assert (expected[0] & expected[1]).any()
