"""The rows of the command line: ``transformerseg segment`` beside ``python -m monai.bundle run`` on the same bundle and
volume, each with all that it loads. Wall time, and the processor's time, which other programs disturb less."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np

from TransformerSegLib.bundles.catalogue import find_bundle

from panel_user import SAMPLE

REPEATS = 5


def figures() -> Iterator[tuple[str, float, float, str]]:
    """The rows, as the fields of ``rows.Row``."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        data, ours = place / "data", place / "ours.nii.gz"
        data.mkdir()
        shutil.copy(SAMPLE, data)
        bundle = find_bundle().folder
        by_us = ["TransformerSegLib.cli", "segment", SAMPLE, "--output", ours, "--overwrite"]
        by_stock = ["monai.bundle", "run", "--config_file", bundle / "configs" / "inference.json"]
        by_stock += ["--bundle_root", bundle, "--dataset_dir", data, "--output_dir", place / "stock"]
        taken = {"ours": [], "stock": []}
        for number in range(REPEATS + 1):
            for name, command in (("ours", by_us), ("stock", by_stock)):
                measured = _seconds([sys.executable, "-m", *map(str, command)])
                if number:  # the first time, Python compiles what it loads
                    taken[name].append(measured)
        (expected,) = (place / "stock").rglob("*.nii.gz")
        same = f"{np.mean(_labels(ours) == _labels(expected)):.5%} of labels equal"
    for number, what in enumerate(("s", "s of the processor")):
        median = {name: statistics.median(times[number] for times in each) for name, each in taken.items()}
        what = f"hippocampus sample, whole run from the command line: {what}"
        yield what, median["ours"], median["stock"], f"{same}; {median['ours'] / median['stock']:.0%} of the time"


def _seconds(command: list[str]) -> tuple[float, float]:
    """Wall time, and the processor's."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _labels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj).squeeze().astype(int)
