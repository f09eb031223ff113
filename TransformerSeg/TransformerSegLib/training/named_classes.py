"""The classes that the description of a data set names."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.bundles.labels import read_labels
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.errors import LabelsRejected
from TransformerSegLib.training.cases import ClassName


def named_classes(path: Path) -> tuple[ClassName, ...]:
    """The classes that a ``dataset.json`` names, by rising label; none where it defines them as regions of several
    labels (nnU-Net), or not in a form that is known.
    """
    try:
        labels = [label for label in read_labels(path) if not label.is_background]
    except LabelsRejected:
        return ()
    if any(not label.number for label in labels) or len({label.number for label in labels}) < len(labels):
        return ()
    return tuple(
        ClassName(label.number, label.name, color(label.number - 1))
        for label in sorted(labels, key=lambda label: label.number)
    )
