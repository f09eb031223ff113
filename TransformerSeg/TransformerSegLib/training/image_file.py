"""The image of a case, from its file."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.errors import NotThreeDimensional, TrainingDataRejected
from TransformerSegLib.inference.reading import name_of, read_volume
from TransformerSegLib.inference.volume import Volume


def read_image(path: Path) -> Volume:
    """Read one volume (``read_volume``).

    Raises:
        TrainingDataRejected: the file holds several volumes, or a single slice. Some sets of the Decathlon keep the
            inputs of a case in one file of four dimensions.
        InputRejected: it cannot be read.
    """
    try:
        return read_volume(path)
    except NotThreeDimensional as error:
        name = name_of(path)
        raise TrainingDataRejected(
            error.what,
            why="each input of a network is a volume in a file of its own",
            remedy=f"Give whole volumes, and several inputs as {name}_0000.nii.gz and {name}_0001.nii.gz",
        ) from error
