"""What ``transformerseg evaluate`` draws, as the README shows it: box plots, and below them the worst case."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from PIL import Image

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.training.data_list import read_data
from TransformerSegLib.training.evaluation_session import PLOTS, WORST, evaluate_bundle

DATA = Path(__file__).parents[1] / "data" / "hippocampus"
WIDTH = 940
"""Pixels."""


def draw_evaluation(path: Path) -> None:
    """Measure the embedded model on the labelled cases that are in this repository.

    It was trained on half of them, which the picture says.
    """
    with tempfile.TemporaryDirectory() as place:
        cases, output = Path(place) / "this repository", Path(place) / "output"
        _gather(cases)
        evaluate_bundle(find_bundle(), read_data(cases, validation=0.0), output, "cpu", print)
        parts = [_of_width(part) for part in (output / PLOTS, output / WORST / "1.png")]
    whole = Image.new("RGB", (WIDTH, sum(part.height for part in parts)))
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    whole.save(path, optimize=True)


def _gather(folder: Path) -> None:
    """Copy images and labels into the folders ``images`` and ``labels``."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for label in (*DATA.glob("*_label.nii.gz"), *(resources_folder() / "SampleData").glob("*_label.nii.gz")):
        name = label.name.replace("_label", "")
        shutil.copyfile(label, folder / "labels" / name)
        shutil.copyfile(label.with_name(name), folder / "images" / name)
    for kind in ("images", "labels"):
        for file in (DATA / "training" / f"{kind}Tr").iterdir():
            shutil.copyfile(file, folder / kind / file.name)


def _of_width(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        height = round(picture.height * WIDTH / picture.width)
        return picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
