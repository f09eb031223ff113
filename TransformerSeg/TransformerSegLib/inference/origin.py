"""Where DICOM says that a volume comes from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """What tells volumes of one examination from others; a text is empty where nothing tells it.

    Kept in memory, to compare volumes with each other: who the patient is goes into no result, report or message.

    Attributes:
        description: of the series ("AX T2 FLAIR").
        patient_id: Patient ID (0010,0020); not shown by ``repr``.
        frame_of_reference: Frame of Reference UID (0020,0052): images that share it share their coordinates.
    """

    description: str = ""
    patient_id: str = field(default="", repr=False)
    frame_of_reference: str = field(default="", repr=False)


UNKNOWN = Origin()
"""Of what is no DICOM: NIfTI, NRRD and MetaImage files say none of it."""
