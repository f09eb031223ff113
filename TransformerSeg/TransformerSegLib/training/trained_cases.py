"""Which cases a model learned from, as the list that is kept with it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.inference.reading import name_of
from TransformerSegLib.training.cases import Case

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle


def trained_on(bundle: Bundle, cases: Sequence[Case]) -> tuple[str, ...]:
    """Names of the cases that stand in the model's training list, by their files' names; by those of their folders,
    too, where the list has files of one name."""
    try:
        content = json.loads((bundle.folder / "training" / "data_list.json").read_text(encoding="utf-8"))
        images = (entry["image"] for entry in content["training"])
        paths = [Path(image if isinstance(image, str) else image[0]) for image in images]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ()
    alike = len({name_of(path) for path in paths}) < len(paths)  # “T1.nii.gz” in a folder for each patient
    known = {_told_apart(path, alike) for path in paths}
    return tuple(case.name for case in cases if _told_apart(case.image, alike) in known)


def not_trained_on(bundle: Bundle, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The other cases; all, where nothing tells what the model learned from."""
    known = trained_on(bundle, cases)
    return tuple(case for case in cases if case.name not in known)


def _told_apart(path: Path, by_folder: bool) -> tuple[str, ...]:
    return (path.parent.name, name_of(path)) if by_folder else (name_of(path),)
