"""What a person asks for when Segment is pressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from TransformerSegLib.inference.devices import AUTO
from TransformerSegLib.inference.presets import Preset

if TYPE_CHECKING:
    import slicer

USUAL_SMOOTHING = 0.5


@dataclass(frozen=True, eq=False)
class Request:
    """One press of Segment, or one call of the scripting interface.

    Attributes:
        volumes: one node per input of the model's card, in its order; None where none is chosen yet.
        model: its name in the library of models.
        region: segment only inside it; None: the whole volume.
        target: the segmentation to run into; None: a new one.
        classes: names of the wanted classes; None: all.
        device: "auto", "cuda:0", "mps", "cpu".
        preset: how fast, and how thorough.
        accept_mismatch: the person confirmed an input that the model was not trained for.
        surfaces: show the result in 3D; None: only where there are few segments.
        smoothing: of the surfaces, 0…1.
        again: the region of the target, which must be there, is segmented again, on top of what was corrected in it.
        all_frames: the first volume is the current frame of a sequence, and all its frames are to be segmented.
    """

    volumes: tuple[slicer.vtkMRMLScalarVolumeNode | None, ...]
    model: str
    region: slicer.vtkMRMLMarkupsROINode | None = None
    target: slicer.vtkMRMLSegmentationNode | None = None
    classes: tuple[str, ...] | None = None
    device: str = AUTO
    preset: Preset = Preset.STANDARD
    accept_mismatch: bool = False
    surfaces: bool | None = None
    smoothing: float = USUAL_SMOOTHING
    all_frames: bool = False
    again: bool = False
