"""The engine without Slicer: ``transformerseg segment``, ``models``, ``import``, ``train``, …"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from TransformerSegLib.commands.calibrate import calibrate
from TransformerSegLib.commands.check_data import check_data
from TransformerSegLib.commands.check_precision import check_precision
from TransformerSegLib.commands.console import progress_bar, run, stoppable
from TransformerSegLib.commands.dicom_output import check_packages_for, images_referred_to
from TransformerSegLib.commands.evaluate import evaluate
from TransformerSegLib.commands.import_checkpoint import import_checkpoint
from TransformerSegLib.commands.inputs import Study, check_given, given_inputs, read_study
from TransformerSegLib.commands.models import models
from TransformerSegLib.commands.pretrain import pretrain
from TransformerSegLib.commands.train import train
from TransformerSegLib.commands.train_refiner import train_refiner
from TransformerSegLib.inference.presets import Preset

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.export.dicom_source import SourceImages
    from TransformerSegLib.inference.region import Region
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.inference.volume import Volume
    from TransformerSegLib.interaction.run_scores import RunScores

app = typer.Typer(
    name="transformerseg",
    help="Segment CT and MR volumes with transformers. For research use, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(epilog="Example: transformerseg segment T1.nii.gz --output T1.seg.nrrd")
def segment(
    *,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT",
            help="A NIfTI, NRRD or MetaImage file, a DICOM folder, or an enhanced DICOM file. For a model with "
            "several inputs one for each, in any order if their names tell them apart (t1c, t1n, t2f, t2w); "
            "if no name tells anything, in the order of the model's card.",
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the result goes: .seg.nrrd, .dcm (a DICOM segmentation, of a DICOM series), .mrb (a Slicer "
            "scene), .nii.gz, .nii, .nrrd or .mha.",
        ),
    ],
    named: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=FILE",
            help="One input of a model with several, by its name on the model's card: --input FLAIR=t2f.nii.gz.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A model's name (see “transformerseg models”) or its bundle's folder."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:1, mps or cpu.")] = "auto",
    roi: Annotated[
        str | None,
        typer.Option(
            metavar="BOX",
            help="Segment only inside: x1,x2,y1,y2,z1,z2 in RAS mm, or a markups ROI file (.mrk.json). "
            "For a model that wants a crop, on a whole head.",
        ),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERIES",
            help="Which series of a DICOM folder: its number, UID or description. "
            "Once for all folders, or once for each: those without --input first.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write volumes, provenance and timings to this file, as JSON."),
    ] = None,
    volumes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the segments' volumes to this file, as a table (.csv)."),
    ] = None,
    confidence: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write how sure the model is of each voxel's label to this .nii.gz file: 0 to 1."
        ),
    ] = None,
    accept_mismatch: Annotated[
        bool,
        typer.Option(
            "--accept-mismatch",
            help="Segment although modality, spacing or field of view are unlike the model's training data.",
        ),
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Windows or slices at a time; by default what the model's bundle says."),
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option(
            help="How fast, and how thorough: standard, exactly as the model's makers chose; fast, windows that "
            "overlap by a quarter at most, and of a CT only the body: other windows, so other numbers; faster-cpu and "
            "faster-gpu, with 16 bits, where the processor or the graphics card, and the model, allow it; best, "
            "overlap of five eighths at least, mirrored where the model was trained so. Models that work slice by "
            "slice stay as they are.",
        ),
    ] = Preset.STANDARD,
    timing: Annotated[bool, typer.Option("--timing", help="Say how long each stage took, and its share.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already, whatever they hold.")
    ] = False,
) -> None:
    """Segment one study: one volume, or several for a model with several inputs."""
    from TransformerSegLib.bundles.catalogue import DEFAULT_MODEL, find_bundle
    from TransformerSegLib.export.confidence_map import check_confidence
    from TransformerSegLib.export.output import check_inputs_are_kept, check_output
    from TransformerSegLib.export.report import check_report, write_report
    from TransformerSegLib.export.volume_table import check_table, rows_of_run, write_volumes
    from TransformerSegLib.inference.region import read_region
    from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
    from TransformerSegLib.interaction.doubt import doubt_of
    from TransformerSegLib.interaction.score_keeper import ScoreKeeper

    check_output(output, overwrite)
    if report is not None:
        check_report(report, overwrite)
    if confidence is not None:
        check_confidence(confidence, overwrite)
    if volumes is not None:
        check_table(volumes, overwrite)
    check_packages_for(output)
    given = given_inputs(inputs or [], named or [])
    read = [*(one.path for one in given), *([Path(roi)] if roi else [])]
    check_inputs_are_kept([each for each in (output, report, volumes, confidence) if each is not None], read)
    bundle = find_bundle(model or DEFAULT_MODEL)
    check_given(given, bundle.card)
    region = read_region(roi) if roi else None
    options = SegmentOptions(accept_mismatch=accept_mismatch, region=region, batch_size=batch_size, preset=preset)
    segmenter = Segmenter(bundle, device, options)
    with stoppable("nothing was written"):
        starting, begun = time.process_time(), time.monotonic()
        study = read_study(given, series or [], bundle.card)
        read_after = time.monotonic()
        _say_what_is_segmented(study, bundle, region)
        source = images_referred_to(study, output)
        with progress_bar() as on_progress:
            keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes) if report or confidence else None
            segmentation = segmenter.segment(study.volumes, on_progress, observer=keeper)
        segmented_after = time.monotonic()
        _write(output, study.volumes, segmentation, source, overwrite)
        written_after = time.monotonic()
    # Before the report is written: should that fail, the result is there all the same.
    _say_what_was_found(segmentation, output)
    if timing:
        stages = segmentation.provenance["stages"]
        typer.echo(_timing(starting, read_after - begun, stages, written_after - segmented_after))
    scores = keeper.scores() if keeper else None
    if report is not None:
        doubt = doubt_of(scores, segmentation, study.volumes[0].array, bundle.card) if scores else None
        write_report(report, segmentation, doubt)
    if confidence is not None:
        _write_confidence(confidence, scores, segmentation, bundle)
    if volumes is not None:
        write_volumes(volumes, rows_of_run(segmentation))


app.command(
    epilog="Example: transformerseg train --network swin-unetr --data Task04_Hippocampus --output my_hippocampus"
)(train)
app.command(epilog="Example: transformerseg pretrain --data Task04_Hippocampus --output encoder.safetensors")(pretrain)
app.command(
    "train-refiner", epilog="Example: transformerseg train-refiner --data cases.json --output refiner.safetensors"
)(train_refiner)
app.command(epilog="Example: transformerseg evaluate my_hippocampus --data Task04_Hippocampus --output how_well")(
    evaluate
)
app.command(epilog="Example: transformerseg calibrate my_hippocampus --data Task04_Hippocampus --write-card")(calibrate)
app.add_typer(models, name="models")
app.command("check-data", epilog="Example: transformerseg check-data Task04_Hippocampus --output report")(check_data)
app.command(
    "check-precision", epilog="Example: transformerseg check-precision my_hippocampus --data Task04_Hippocampus"
)(check_precision)
app.command("import", epilog="Example: transformerseg import unetr.pth --labels labels.json --output organs_unetr")(
    import_checkpoint
)


def main() -> None:
    """Run the command; exit 0 done, 2 bad input or usage, 130 stopped by Ctrl-C, 143 by a termination signal."""
    run(lambda: app(standalone_mode=False))


def _say_what_is_segmented(study: Study, bundle: Bundle, region: Region | None) -> None:
    for line in study.in_words():
        typer.echo(line)
    if region is not None:
        typer.echo(f"Only inside a region of {'×'.join(f'{length:.0f}' for length in region.size)} mm")
    typer.echo(f"Model: {bundle.card.title} {bundle.card.version}")


def _say_what_was_found(segmentation: Segmentation, output: Path) -> None:
    from TransformerSegLib.export.output import output_suffix

    width = max(len(segment.definition.name) for segment in segmentation.segments)
    for segment in segmentation.segments:
        found = "not found in this volume" if segment.empty else f"{segment.volume_ml:.2f} mL"
        typer.echo(f"  {segment.definition.name:<{width}}  {found}")
    for mismatch in segmentation.provenance["mismatches"]:
        typer.echo(f"Take care, the model was not trained for this: {mismatch}.")
    if len(segmentation.layers) > 1 and output_suffix(output) not in (".seg.nrrd", ".dcm", ".mrb"):
        typer.echo(f"The classes overlap: the file holds {len(segmentation.layers)} label maps along a fourth axis.")
    typer.echo(f"Saved {output} in {segmentation.provenance['seconds']:.1f} s. For research use, not for diagnosis.")


def _timing(starting: float, reading: float, stages: Mapping[str, float], writing: float) -> str:
    """Seconds; of the start the processor's, since no system tells in the same way when a program began."""
    from TransformerSegLib.inference.stopwatch import shares_told

    return f"Time: {shares_told({'start': starting, 'read': reading, **stages, 'save': writing})}"


def _write_confidence(path: Path, scores: RunScores | None, segmentation: Segmentation, bundle: Bundle) -> None:
    from TransformerSegLib.export.confidence_map import write_confidence
    from TransformerSegLib.interaction.doubt import confidence

    if scores is None:
        typer.echo(f"No confidence map: {bundle.card.title} gives no scores on the volume's own voxels.")
        return
    write_confidence(path, confidence(scores, bundle.card.temperature), segmentation.affine)


def _write(
    output: Path,
    volumes: Sequence[Volume],
    segmentation: Segmentation,
    source: SourceImages | None,
    overwrite: bool,
) -> None:
    if source is not None:
        from TransformerSegLib.export.dicom_seg import write_dicom_seg
        from TransformerSegLib.export.dicom_segment import segments_of_run

        segments = list(segments_of_run(segmentation))
        write_dicom_seg(output, segments, source, segmentation.name, overwrite=overwrite)
    elif output.suffix.lower() == ".mrb":
        from TransformerSegLib.scene.mrb import write_mrb

        write_mrb(output, volumes, segmentation, overwrite)
    else:
        from TransformerSegLib.export.segmentation_file import write_segmentation

        write_segmentation(output, segmentation, overwrite)


if __name__ == "__main__":
    main()
