"""What TransformerSeg adds to Slicer's module Sample Data: volumes that ship with it, so that nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.resources import resources_folder

if TYPE_CHECKING:
    import slicer

CATEGORY = "TransformerSeg"
"""The heading under which Sample Data shows the volumes."""


@dataclass(frozen=True)
class SampleVolume:
    """One volume.

    Attributes:
        name: what Sample Data and the node in the scene call it.
        file: in ``Resources/SampleData``.
        sha256: of the file, hexadecimal; Slicer verifies its copy by it.
        thumbnail: in ``Resources/Icons``.
    """

    name: str
    file: str
    sha256: str
    thumbnail: str

    def source(self, resources: Path) -> dict[str, str]:
        """The arguments of ``SampleDataLogic.registerCustomSampleDataSource``."""
        return {
            "category": CATEGORY,
            "sampleName": self.name,
            "uris": (resources / "SampleData" / self.file).absolute().as_uri(),
            "fileNames": f"{CATEGORY}_{self.file}",  # in a folder that all extensions share
            "nodeNames": self.name,
            "checksums": f"SHA256:{self.sha256}",
            "thumbnailFileName": str(resources / "Icons" / self.thumbnail),
            "loadFileType": "VolumeFile",
        }


SAMPLE_VOLUMES = (
    SampleVolume(
        name="Hippocampus MR",
        file="hippocampus_297.nii.gz",
        sha256="38f6757fb2ee9d32885a3d8d69ec3244f8f2fe5cd2d6256fa5cd84878a7012df",
        thumbnail="HippocampusSample.png",
    ),
)


def register_sample_data() -> None:
    """Show the volumes in Sample Data. To be called once Slicer has started up; more often does no harm."""
    import SampleData

    for volume in SAMPLE_VOLUMES:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**volume.source(resources_folder()))


def load_sample(name: str = SAMPLE_VOLUMES[0].name) -> slicer.vtkMRMLScalarVolumeNode:
    """Load one of the volumes into the scene, as Sample Data does; returns its node."""
    import SampleData

    register_sample_data()
    return SampleData.SampleDataLogic().downloadSample(name)
