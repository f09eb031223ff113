"""What a model's card says: what it segments, on which inputs, how well, and under which licence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from TransformerSegLib.bundles.plan import SliceAxis

MAXIMUM_LABEL = 65535
"""Labels are stored in 16 bits."""

UnitInterval = Annotated[float, Field(ge=0.0, le=1.0)]


NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(_Record):
    """One coded concept, as DICOM writes them: scheme ("SCT" for SNOMED CT), value, meaning."""

    scheme: str
    value: str
    meaning: str


class SegmentClass(_Record):
    """One class of a model.

    Attributes:
        label: its value in label arrays and files; 1 or more.
        channel: the channel of the network's output that scores it.
        name: for people.
        color: red, green, blue, each 0…1.
        category: SNOMED-CT category, e.g. (SCT, 123037004, Anatomical Structure).
        type: SNOMED-CT type, e.g. (SCT, 5366008, Hippocampus).
        modifier: of the type, e.g. (SCT, 7771000, Left).
    """

    label: int = Field(ge=1, le=MAXIMUM_LABEL)
    channel: int = Field(ge=0)
    name: str
    color: tuple[UnitInterval, UnitInterval, UnitInterval]
    category: Code | None = None
    type: Code | None = None
    modifier: Code | None = None


class Figure(_Record):
    """One measured quantity of one class: its mean over cases.

    Attributes:
        mean: rounded.
        low, high: of the mean's 95 % confidence interval; None with fewer than two cases.
        cases: how many it is the mean of; those where it is not defined are left out.
        digits: after the decimal point, for people.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    cases: int = Field(ge=1)
    digits: int = Field(default=3, ge=0, le=9)

    def in_words(self) -> str:
        """ "0.903 [0.894, 0.912]"."""
        mean, *ends = (f"{each:z.{self.digits}f}" for each in (self.mean, self.low, self.high) if each is not None)
        return f"{mean} [{', '.join(ends)}]" if ends else mean


ALIKE = 0.998
"""Dice of a class between an exact result and one in bfloat16, from which on the two count as the same."""


class PrecisionCheck(_Record):
    """How the model's results in bfloat16 compare with its own exact ones.

    Attributes:
        dice: class name → mean Dice of the one against the other, over the cases in which either found it.
        data: what it was measured on.
        cases: how many.
        weights_sha256: of the weights that were measured; of others it says nothing.
    """

    dice: dict[str, UnitInterval] = Field(min_length=1)
    data: str
    cases: int = Field(ge=1)
    weights_sha256: str

    @property
    def passed(self) -> bool:
        return min(self.dice.values()) >= ALIKE

    def left_out(self, classes: Sequence[SegmentClass]) -> tuple[str, ...]:
        """Names of those of a card's classes that were found in no case, and of which it says nothing."""
        return tuple(definition.name for definition in classes if definition.name not in self.dice)

    def in_words(self) -> str:
        """ "same results, Dice 0.9991 or more on average over 17 cases (of …)"."""
        verdict, lowest = "same results" if self.passed else "other results", f"{min(self.dice.values()):.4f}"
        return f"{verdict}, Dice {lowest} or more on average over {counted_cases(self.cases)} ({self.data})"


def counted_cases(number: int) -> str:
    return "1 case" if number == 1 else f"{number} cases"


class DoubtCheck(_Record):
    """How true is what a model says of its own doubt, on cases that it was not trained on.

    Attributes:
        calibration_error: expected calibration error among voxels within 3 mm of a boundary of the labels, at a
            temperature fitted to other cases; None where there are no such voxels.
        calibration_error_uncalibrated: the same at temperature 1.
        dice_correlation: Spearman's, of predicted and true Dice of every class in every case; None for too few.
        predicted_dice, true_dice: their means.
        scaled: Dice was predicted on the card's scale, which was fitted to the same cases.
        errors_found: share of the cases in which the centre of the largest error lies in one of the first five
            doubtful places.
        data: what it was measured on.
        cases: how many.
        weights_sha256: of the weights that were measured; of others it says nothing.
    """

    calibration_error: float | None
    calibration_error_uncalibrated: float | None
    dice_correlation: float | None
    predicted_dice: float | None
    true_dice: float | None
    errors_found: float | None
    scaled: bool = False
    data: str
    cases: int = Field(ge=1)
    weights_sha256: str

    def in_words(self) -> str:
        """ "calibration error 0.016 within 3 mm of a boundary (0.043 without temperature); …"."""
        said = []
        if self.calibration_error is not None:
            without = f" ({self.calibration_error_uncalibrated:.3f} at temperature 1)"
            said.append(f"expected calibration error {self.calibration_error:.3f} within 3 mm of a boundary{without}")
        if self.predicted_dice is not None:
            scaled = " (its scale is fitted to these cases)" * self.scaled
            said.append(f"predicted Dice{scaled} {self.predicted_dice:.3f} on average, true {self.true_dice:.3f}")
        if self.dice_correlation is not None:
            said.append(f"Spearman's correlation of the two {self.dice_correlation:.2f}")
        if self.errors_found is not None:
            said.append(
                f"the largest error in one of the first five doubtful places in {self.errors_found:.0%} of cases"
            )
        return f"{'; '.join(said)} ({self.cases} case{'s' * (self.cases != 1)} of {self.data})"


class QualitySigns(_Record):
    """Signs of how well a class was found, or what belongs to each: their means, their deviations. None: not known.

    Attributes:
        expected_dice: the Dice that follows from the probabilities of all voxels.
        expected_precision: likewise the share of the labelled voxels that is right.
        unevenness: the image's standard deviation inside the class, in units of that in its box and around it.
        graininess: in the same units, how far voxels there are from their neighbours: the median magnitude of the
            discrete Laplacian, which is six times a voxel's difference from the mean of its six neighbours.
    """

    expected_dice: NotNegative | None
    expected_precision: NotNegative | None
    unevenness: NotNegative | None
    graininess: NotNegative | None


class UsualClass(_Record):
    """Means of a class over cases: of the signs, and of the true Dice."""

    signs: QualitySigns
    dice: UnitInterval


class DiceScale(_Record):
    """How signs of how well a class was found become the Dice to expect.

    Attributes:
        usual: class name → means; a class that is not among them has none.
        spread: the signs' deviation from their class's mean.
        slope: Dice for each deviation.
    """

    usual: dict[str, UsualClass]
    spread: QualitySigns
    slope: NotNegative


class InputChannel(_Record):
    """One input volume of a model: its name ("FLAIR"), and words by which file and node names tell it."""

    name: str
    hints: tuple[str, ...] = ()


class Requirements(_Record):
    """What an input must be like. Each is soft: the user may accept a mismatch.

    Attributes:
        modality: "CT" or "MR"; None where the model takes any.
        spacing_mm: smallest and largest allowed distance of voxel centres, in mm, on any axis; None: any.
        field_of_view_mm: smallest and largest allowed size, in mm, on any axis; None: any.
    """

    modality: Literal["CT", "MR"] | None = None
    spacing_mm: tuple[float, float] | None = None
    field_of_view_mm: tuple[float, float] | None = None


class Card(_Record):
    """A model's card. ``name`` is what ``--model`` takes; ``title`` is for people.

    Attributes:
        inputs: the volumes that the model needs, in the order of its channels.
        classes: in the order in which they are shown. Background is not among them.
        dice: measured Dice per class name, on ``dice_data``; under "mean" where only their mean is known; empty where
            nothing is known.
        figures: what else was measured on ``dice_data``: class name → what ("HD95 (mm)") → its mean.
        limits: known limits, one sentence each.
        temperature: by which the network's scores are divided so that it is as sure as it is right (fitted to cases
            that it was not trained on); 1: as they are.
        trained_with_monai: the version of MONAI that the weights were trained with; None: the ``monai_version`` of
            the bundle's metadata. (That one gets raised without retraining, and Swin UNETR changed between versions.)
        patch_merging: of a Swin UNETR, in words ("as MONAI 0.9 to 1.4"); empty for other networks. It follows from the
            bundle's network, whatever its metadata says.
        slices: how the slices lie that the network sees one by one; None where it sees windows of the volume.
        mirror_axes: of its window, along which training mirrored what it saw.
        bfloat16: how it does in bfloat16; None: nobody looked.
        dice_scale: how its predicted Dice is told, fitted to cases that it was not trained on; None: what follows from
            its voxels' probabilities.
        doubt: how true is what it says of its doubt; None: nobody looked.
    """

    name: str
    title: str
    version: str
    description: str
    inputs: tuple[InputChannel, ...] = Field(min_length=1)
    classes: tuple[SegmentClass, ...] = Field(min_length=1)
    requirements: Requirements = Requirements()
    training_data: str = ""
    licence: str = ""
    dice: dict[str, float] = {}
    dice_data: str = ""
    figures: dict[str, dict[str, Figure]] = {}
    limits: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    intended_use: str = "For research use, not for diagnosis."
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    trained_with_monai: str | None = None
    patch_merging: str = ""
    slices: SliceAxis | None = None
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    bfloat16: PrecisionCheck | None = None
    dice_scale: DiceScale | None = None
    doubt: DoubtCheck | None = None

    @model_validator(mode="after")
    def _labels_and_channels_are_distinct(self) -> Self:
        for what in ("label", "channel"):
            values = [getattr(segment_class, what) for segment_class in self.classes]
            if len(set(values)) < len(values):
                raise ValueError(f"two classes have the same {what}")
        return self
