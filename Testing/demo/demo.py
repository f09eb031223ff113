"""The main job, from a file on disk to an editable segmentation and a picture of it: what ``make demo`` runs."""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.commands.console import progress_bar, run
from TransformerSegLib.export.segmentation_file import write_segmentation
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter
from TransformerSegLib.resources import resources_folder
from TransformerSegLib.scene.mrb import write_mrb
from TransformerSegLib.training.metrics import dice

import picture

CASE = "hippocampus_297"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)

    samples = resources_folder() / "SampleData"
    volume = read_volume(samples / f"{CASE}.nii.gz")
    drawn = read_volume(samples / f"{CASE}_label.nii.gz").array
    bundle = find_bundle()
    print(f"{volume.name}: {'×'.join(map(str, volume.array.shape))} voxels. {bundle.card.title}.")

    started = time.monotonic()
    with progress_bar() as on_progress:
        segmentation = Segmenter(bundle).segment([volume], on_progress)
    seconds = time.monotonic() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # kB on Linux

    for segment in segmentation.segments:
        agreement = dice(segmentation.mask(segment), drawn == segment.definition.label)
        print(
            f"  {segment.definition.name:<22} {segment.volume_ml:5.2f} mL   Dice {agreement:.3f} against the human mask"
        )
    print(f"  on {segmentation.provenance['device']}: {seconds:.1f} s (loading torch included), peak {peak_mb:.0f} MB")

    results = {name: folder / f"{CASE}{name}" for name in (".seg.nrrd", ".mrb", ".png")}
    write_segmentation(results[".seg.nrrd"], segmentation, overwrite=True)
    write_mrb(results[".mrb"], [volume], segmentation, overwrite=True)
    print(picture.draw_picture(results[".png"], volume, segmentation, drawn))
    for path in results.values():
        print(f"  {path}")
    print(bundle.card.intended_use)


if __name__ == "__main__":
    run(main)
