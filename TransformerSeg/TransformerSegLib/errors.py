"""The errors that a clinician may see. Each says what is wrong, why that matters, and the one thing to do."""

from __future__ import annotations

from collections.abc import Sequence


class TransformerSegError(Exception):
    """An error fit to be shown as it is.

    Args:
        what: what is wrong, as a sentence without its full stop ("“T1.nii.gz” has 3 values per voxel").
        why: why that stops the work, likewise ("the model reads one number per voxel").
        remedy: one thing to do about it, likewise ("Convert it to a scalar volume").
    """

    details: Sequence[str] = ()
    """Further lines for those who want to know all of it; shown after the sentence, where there is room."""

    def __init__(self, what: str, *, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.why}. {self.remedy}."


class InputRejected(TransformerSegError):
    """The input cannot be segmented by any model (hard: no option overrides it)."""


class UnreadableInput(InputRejected):
    """The file or folder is missing, damaged, or of a kind that is not read."""


class NotThreeDimensional(InputRejected):
    """The volume has not exactly three axes, or one of them is a single voxel."""


class VectorVoxels(InputRejected):
    """The volume has several values per voxel (RGB, vectors, complex numbers)."""


class NonFiniteVoxels(InputRejected):
    """The volume holds NaN or infinite values."""


class EmptyVolume(InputRejected):
    """The volume has no voxels, or all voxels have the same value."""


class SingularAffine(InputRejected):
    """The affine does not map the index space onto three dimensions, or is not finite."""


class ShearedAffine(InputRejected):
    """The axes of the volume are not at right angles (gantry tilt)."""


class IncompleteSeries(InputRejected):
    """Slices of a DICOM series are missing, doubled or unequally spaced."""


class SeveralSeries(InputRejected):
    """A folder holds more than one DICOM series and none was chosen."""


class SeriesNotFound(InputRejected):
    """A folder holds no DICOM series of the number, UID or description that was asked for."""


class WrongNumberOfInputs(InputRejected):
    """The model needs another number of input volumes."""


class ClassUnknown(InputRejected):
    """None of the model's classes is wanted, or one that the model does not have."""


class GridMismatch(InputRejected):
    """The inputs of a several-input model do not lie on grids that can be brought together."""


class OtherPatient(InputRejected):
    """The inputs of a several-input model are of different patients."""


class SameVolumeTwice(InputRejected):
    """One volume is given for two inputs of a several-input model."""


class AssignmentUnclear(InputRejected):
    """It is not clear which of the volumes given is which input of the model."""


class RegionRejected(InputRejected):
    """The region of interest cannot be read, does not meet the volume, or holds nothing that differs."""


class VolumeTooSmall(InputRejected):
    """The volume has too few voxels for the way in which the model pads it to its window."""


class InputMismatch(TransformerSegError):
    """The input is outside what the model's card allows (soft: refused unless the user accepts it)."""


class ModalityMismatch(InputMismatch):
    """The volume is of another modality than the model was trained on."""


class SpacingMismatch(InputMismatch):
    """The voxels are coarser or finer than the model was trained for."""


class FieldOfViewMismatch(InputMismatch):
    """The volume is much larger or smaller than what the model was trained on."""


class FieldOfViewTooLarge(FieldOfViewMismatch):
    """The volume is much larger than what the model was trained on: a whole head for one structure in it."""


class FrameOfReferenceMismatch(InputMismatch):
    """The inputs of a several-input model have, as DICOM has it, coordinates of their own."""


class BundleRejected(TransformerSegError):
    """The model's bundle is incomplete, damaged, or asks for something that is not on the allow-list."""


class CheckpointRejected(BundleRejected):
    """A checkpoint cannot be made a model: its network is not known, does not fit, or leaves something to be asked.

    Args:
        what, why, remedy: as in ``TransformerSegError``.
        details: one line for each tensor that does not fit, or each question that is open.
    """

    def __init__(self, what: str, *, why: str, remedy: str, details: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.details = tuple(details)


class LabelsRejected(BundleRejected):
    """The file that names a model's classes cannot be read, or does not fit its network."""


class CatalogueDamaged(TransformerSegError):
    """The list of published models, which ships with the library, cannot be read."""


class DownloadFailed(TransformerSegError):
    """A file could not be fetched, or is not the one that was published. What came of it may be kept to go on with."""


class OutputRejected(TransformerSegError):
    """The result cannot be written where, or in the format, that was asked for."""


class DeviceUnavailable(TransformerSegError):
    """The chosen device does not exist on this machine."""


class PresetUnavailable(TransformerSegError):
    """The chosen preset is not for this computer, or not for this model."""


class OutOfMemory(TransformerSegError):
    """Neither the device nor the computer's memory suffices, after every fallback."""


class ScoresNotFinite(TransformerSegError):
    """The network's scores are NaN: its weights are damaged, or the device computes wrongly."""


class ProposalDamaged(TransformerSegError):
    """What was kept of a run's result, to tell a person's voxels from the model's, cannot be read."""


class ClickRefused(TransformerSegError):
    """A click cannot be obeyed: it lies outside of the volume, or contradicts what a person painted."""


class RefinerDamaged(TransformerSegError):
    """The weights of the learned step of corrections are missing or damaged: clicks are answered without it."""


class ReviewIncomplete(TransformerSegError):
    """A segmentation cannot be signed off: a person is not through with all of it."""


class PackagesMissing(TransformerSegError):
    """Python packages that a run takes are not installed, and could not be."""


class TrainingDataRejected(TransformerSegError):
    """The data list of a training run, or one of its cases, cannot be used.

    Args:
        what, why, remedy: as in ``TransformerSegError``.
        details: one line for each fault, where there are several.
    """

    def __init__(self, what: str, *, why: str, remedy: str, details: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, remedy=remedy)
        self.details = tuple(details)


class RunInUse(TransformerSegError):
    """Another process trains in the run's folder."""


class TrainingDiverged(TransformerSegError):
    """A training's loss is no longer a finite number; nothing that it would go on to make is of use."""


class Cancelled(Exception):
    """The run was cancelled by its user; nothing of it is left."""
