"""Cases unlike the others of a data set: in voxel size, in brightness, in how much is labelled and where."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from TransformerSegLib.training.case_check import CheckedCase
from TransformerSegLib.training.cases import ClassName

FEWEST_CASES = 5
"""With fewer there is no telling what is usual."""

SPACING_FACTOR = 2.0
BRIGHTNESS_FACTOR = 10.0
VOLUME_FACTOR = 3.0
PLACE_SHARE = 0.15
"""Of the image's sides; and the least factors by which a case must differ from the median to be called unusual …"""

DEVIATIONS = 5.0
"""… if it also lies so many standard deviations from it, as the median absolute deviation estimates them (Hampel,
"The Influence Curve and its Role in Robust Estimation", JASA 69, 1974)."""

COMMON_SHARE, COMMON_CASES = 0.1, 2
"""What is unusual in more of the cases than either is in the nature of the set, and told once."""

_NORMAL = 1.4826
"""Standard deviations in a median absolute deviation of normally distributed numbers."""

_AXES = ("from right to left", "from front to back", "from below to above")


def unusual(cases: Sequence[CheckedCase], classes: Sequence[ClassName]) -> tuple[list[str], dict[int, list[str]]]:
    """Compare every case with the median of all.

    Returns:
        Remarks on the whole set; and for cases, by their places in ``cases``, remarks on each.
    """
    of_set: list[str] = []
    of_cases: dict[int, list[str]] = {}
    for told_once, found in (_spacings(cases), _brightnesses(cases), _modalities(cases), *_places(cases)):
        if len(found) > max(COMMON_CASES, COMMON_SHARE * len(cases)):
            of_set.append(told_once)
        else:
            for place, remark in found.items():
                of_cases.setdefault(place, []).append(remark)
    for each in classes:
        for place, remark in _volumes(cases, each).items():
            of_cases.setdefault(place, []).append(remark)
    return of_set, of_cases


Found = tuple[str, dict[int, str]]
"""The sentence for the set, and those for cases."""


def outliers(values: Mapping[int, float], least: float) -> dict[int, float]:
    """Those that lie far from the median, and the distance of each from it.

    Args:
        values: by key.
        least: distance that is not far, however alike the others are.
    """
    if len(values) < FEWEST_CASES:
        return {}
    median = statistics.median(values.values())
    deviation = _NORMAL * statistics.median(abs(value - median) for value in values.values())
    return {
        key: value - median for key, value in values.items() if abs(value - median) > max(least, DEVIATIONS * deviation)
    }


def _spacings(cases: Sequence[CheckedCase]) -> Found:
    found: dict[int, str] = {}
    all_logs = {place: np.log(sorted(case.spacing)) for place, case in enumerate(cases) if case.spacing}
    for axis in range(3):
        logs = {place: float(three[axis]) for place, three in all_logs.items()}
        for place in outliers(logs, math.log(SPACING_FACTOR)):
            found[place] = f"Voxels of {times(cases[place].spacing)} mm, unlike the other cases'"
    sides = [math.exp(log) for three in all_logs.values() for log in three] or [1.0]
    smallest, largest = min(sides), max(sides)
    return f"Voxels differ much from case to case: sides of {smallest:.3g} to {largest:.3g} mm", found


def _brightnesses(cases: Sequence[CheckedCase]) -> Found:
    found: dict[int, str] = {}
    most = max((len(case.brightness) for case in cases), default=0)
    factors = [1.0]
    for channel in range(most):
        logs = {
            place: math.log(case.brightness[channel])
            for place, case in enumerate(cases)
            if len(case.brightness) > channel and case.brightness[channel] > 0
        }
        factors.append(math.exp(max(logs.values(), default=0) - min(logs.values(), default=0)))
        which = f" of image {channel + 1}" if most > 1 else ""
        for place, log in outliers(logs, math.log(BRIGHTNESS_FACTOR)).items():
            found[place] = f"Intensities{which} {_factor(log)} than the other cases'"
    return f"Intensities differ by a factor of {max(factors):,.0f} between cases: each needs scaling of its own", found


def _modalities(cases: Sequence[CheckedCase]) -> Found:
    """Few CTs among other images, or few others among CTs."""
    ct = {place: case.like_ct for place, case in enumerate(cases) if case.brightness}
    usual = sum(ct.values()) > len(ct) / 2
    remark = "Its intensities look like CT, and those of other cases do not"
    if usual:
        remark = "Its intensities do not look like CT, and those of other cases do"
    odd = {place: remark for place, like_ct in ct.items() if like_ct != usual}
    return f"{sum(ct.values())} of {len(ct)} cases look like CT, and the others do not", odd


def _places(cases: Sequence[CheckedCase]) -> list[Found]:
    found = []
    for axis, direction in enumerate(_AXES):
        shares = {place: case.place[axis] for place, case in enumerate(cases) if case.place}
        remarks = {
            place: f"Its labels lie at {shares[place]:.0%} of the image {direction}, and other cases' at "
            f"{shares[place] - off:.0%}"
            for place, off in outliers(shares, PLACE_SHARE).items()
        }
        found.append((f"Labels lie at very different places of the image {direction}", remarks))
    return found


def _volumes(cases: Sequence[CheckedCase], each: ClassName) -> dict[int, str]:
    logs = {
        place: math.log(case.volumes_ml[each.label])
        for place, case in enumerate(cases)
        if case.volumes_ml.get(each.label, 0.0) > 0
    }
    return {
        place: f"“{each.name}” of {math.exp(logs[place]):.3g} mL is {_factor(log, 'larger', 'smaller')} than "
        "other cases'"
        for place, log in outliers(logs, math.log(VOLUME_FACTOR)).items()
    }


def _factor(log: float, more: str = "higher", less: str = "lower") -> str:
    factor = math.exp(abs(log))
    return f"{factor:.{0 if factor >= 10 else 1}f} times {more if log > 0 else less}"


def times(values: Sequence[float]) -> str:
    """ "0.5×0.5×3", with three digits each."""
    return "×".join(f"{value:.3g}" for value in values)
