"""A result as a DICOM segmentation: what that takes is looked at before the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from TransformerSegLib.commands.inputs import Study
    from TransformerSegLib.export.dicom_source import SourceImages


def check_packages_for(output: Path) -> None:
    """
    Raises:
        PackagesMissing: the output is a DICOM segmentation, and highdicom is not installed.
    """
    if _is_dicom(output):
        from TransformerSegLib.export.dicom_seg import check_highdicom

        check_highdicom()


def images_referred_to(study: Study, output: Path) -> SourceImages | None:
    """The images of the first input, to which a DICOM segmentation refers; None for other outputs.

    Raises:
        OutputRejected: the first input is no DICOM, or its images have no identifiers.
    """
    if not _is_dicom(output):
        return None
    from TransformerSegLib.export.dicom_source import source_images

    source = source_images(study.given[0].path, study.series[0])
    if source.missing:
        typer.echo(
            f"Take care, the images have no {' and no '.join(source.missing)}: "
            "an archive puts the segmentation beside them only by the identifiers of the single images."
        )
    return source


def _is_dicom(output: Path) -> bool:
    from TransformerSegLib.export.output import output_suffix

    return output_suffix(output) == ".dcm"
