"""A data set looked at before it is trained on: every fault of every case, and what is unusual among the cases."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training.brats import REGIONS
from TransformerSegLib.training.case_check import CheckedCase, Fault, check_case
from TransformerSegLib.training.cases import ClassName, DataList
from TransformerSegLib.training.labels import Classes, refuse_other_numbers
from TransformerSegLib.training.unusual import unusual

FAULTS_TOLD = 50
NUMBERS_TOLD = 8

OnCase = Callable[[int, int], None]
"""Called with how many cases have been read, and of how many."""


@dataclass(frozen=True, eq=False)
class DataCheck:
    """What was found in a data set.

    Attributes:
        data: that was checked.
        classes: those it was checked for; those found in its labels, named by number, where nothing names them.
        cases: in the order of ``data.cases``.
        faults: of the data set as a whole.
        remarks: likewise.
    """

    data: DataList
    classes: tuple[ClassName, ...]
    cases: tuple[CheckedCase, ...]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def faulty(self) -> tuple[CheckedCase, ...]:
        """The cases that cannot be trained on."""
        return tuple(case for case in self.cases if case.faults)

    @property
    def unusual(self) -> tuple[CheckedCase, ...]:
        """The cases that can be trained on, and that a person should look at."""
        return tuple(case for case in self.cases if case.remarks and not case.faults)

    def refuse(self) -> None:
        """Raises:
        TrainingDataRejected: there is a fault. The first is told in full, and all of them in the details.
        """
        faults = [(checked.case.name, fault) for checked in self.faulty for fault in checked.faults]
        faults = [*(("", fault) for fault in self.faults), *faults]
        if not faults:
            return
        _, first = faults[0]
        told = [f"{name}: {fault}" if name else str(fault) for name, fault in faults[1:FAULTS_TOLD]]
        if len(faults) > FAULTS_TOLD:
            told.append(f"and {len(faults) - FAULTS_TOLD} more")
        raise TrainingDataRejected(first.what, why=first.why, remedy=first.remedy, details=told)


def check_data(
    data: DataList,
    classes: Classes | None = None,
    on_case: OnCase = lambda done, total: None,
    *,
    need_labels: bool = True,
    overlapping: bool = False,
) -> DataCheck:
    """Read every case once, and look for all that is wrong or unusual.

    Args:
        data: the cases.
        classes: of the model that is to be trained; by default those that the data name, if they name any.
        on_case: called after every case.
        need_labels: False for pretraining.
        overlapping: whether the classes are the regions of BraTS, whatever ``classes`` says.
    """
    named = tuple(ClassName(each.label, each.name, each.color) for each in classes or data.classes)
    if overlapping:
        named = tuple(ClassName(place + 1, name, color(place)) for place, name in enumerate(REGIONS))
    cases = []
    for case in data.cases:
        cases.append(check_case(case, named or None, need_labels=need_labels, overlapping=overlapping))
        on_case(len(cases), len(data.cases))
    known = named or _found(cases)
    faults, remarks = _on_classes(cases, known) if need_labels else ([], [])
    if need_labels and classes is None:
        remarks += _on_gaps(known)
    elif need_labels and not overlapping:
        faults += _on_numbers(data, known)
    of_set, of_cases = unusual(cases, known)
    doubled_faults, doubled_remarks = _doubled(data, cases)
    numbers_faults = _numbers_of_images(cases)
    checked = tuple(
        replace(
            case,
            faults=(*case.faults, *numbers_faults.get(place, ()), *doubled_faults.get(place, ())),
            remarks=(*case.remarks, *doubled_remarks.get(place, ()), *of_cases.get(place, ())),
        )
        for place, case in enumerate(cases)
    )
    return DataCheck(data, known, checked, tuple(faults), (*remarks, *of_set))


def _found(cases: Sequence[CheckedCase]) -> tuple[ClassName, ...]:
    """Classes named by their numbers, where there are no other names."""
    numbers = sorted({label for case in cases for label in case.volumes_ml})
    return tuple(ClassName(number, f"label {number}", color(place)) for place, number in enumerate(numbers))


def _on_numbers(data: DataList, classes: Classes) -> list[Fault]:
    try:
        refuse_other_numbers(data, classes)
    except TrainingDataRejected as error:
        return [Fault.of(error)]
    return []


def _on_gaps(classes: Sequence[ClassName]) -> list[str]:
    numbers = sorted(each.label for each in classes)
    if numbers == list(range(1, len(numbers) + 1)):
        return []
    told = ", ".join(map(str, numbers[:NUMBERS_TOLD])) + (", …" if len(numbers) > NUMBERS_TOLD else "")
    return [
        f"The labels are {told}: a new network is trained on 1, 2, … without a gap, others with a model of these "
        "labels, or of BraTS, alone"
    ]


def _on_classes(cases: Sequence[CheckedCase], classes: Sequence[ClassName]) -> tuple[list[Fault], list[str]]:
    """Classes that no case shows, and those that hardly any does."""
    read = [case for case in cases if case.volumes_ml]
    faults, remarks = [], []
    if not classes and not any(case.faults for case in cases):
        faults.append(
            Fault("No case has a labelled voxel", "there is nothing to learn", "Check that the right labels were given")
        )
    for each in classes:
        shown = sum(case.volumes_ml.get(each.label, 0.0) > 0 for case in read)
        if read and not shown:
            faults.append(
                Fault(
                    f"No case shows “{each.name}” (label {each.label})",
                    "a class without a voxel cannot be learned",
                    "Add cases that show it, or train without this class",
                )
            )
        elif shown <= RARE_SHARE * len(read):
            remarks.append(f"Only {shown} of {len(read)} cases show “{each.name}”")
    return faults, remarks


RARE_SHARE = 0.1
"""A class that no more of the cases show is learned badly, or its name is misspelt in a few."""


def _numbers_of_images(cases: Sequence[CheckedCase]) -> Mapping[int, list[Fault]]:
    """Faults of cases that have another number of images than most."""
    usual = statistics.mode([len(case.case.images) for case in cases])
    return {
        place: [
            Fault(
                f"“{case.case.name}” has {len(case.case.images)} images, and other cases have {usual}",
                "a network has one input for each",
                "Add the missing image, or take the case out",
            )
        ]
        for place, case in enumerate(cases)
        if len(case.case.images) != usual
    }


def _doubled(data: DataList, cases: Sequence[CheckedCase]) -> tuple[dict[int, list[Fault]], dict[int, list[str]]]:
    """The same images in two cases: a fault where one measures what the other was trained on, or where their labels
    differ; otherwise a remark."""
    faults: dict[int, list[Fault]] = {}
    remarks: dict[int, list[str]] = {}
    first_of: dict[str, int] = {}
    for place, checked in enumerate(cases):
        if not checked.digest:
            continue
        first = first_of.setdefault(checked.digest, place)
        if first == place:
            continue
        one, other = cases[first].case, checked.case
        what = f"“{other.name}” has the same voxels as “{one.name}”"
        if first < len(data.training) <= place:
            fault = Fault(what, "one is trained on, and the other measures nothing then", "Take one of them out")
            faults.setdefault(place, []).append(fault)
        elif dict(cases[first].volumes_ml) != dict(checked.volumes_ml):
            fault = Fault(what, "their labels differ, and one must be wrong", "Take one of them out")
            faults.setdefault(place, []).append(fault)
        else:
            remarks.setdefault(place, []).append(what)
    return faults, remarks
