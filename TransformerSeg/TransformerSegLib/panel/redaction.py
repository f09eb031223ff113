"""Takes out of a text what may tell who the patient or the user is."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer

NODE, FILE, PATIENT, HOME, USER = "<node>", "<file>", "<patient>", "<home>", "<user>"

NAMED_CLASSES = (
    "vtkMRMLTransformableNode",
    "vtkMRMLSequenceNode",
    "vtkMRMLSequenceBrowserNode",
    "vtkMRMLStorageNode",
    "vtkMRMLTextNode",
    "vtkMRMLTableNode",
)
"""Nodes whose names people or DICOM files give."""

PATIENT_ATTRIBUTES = ("PatientName", "PatientID", "PatientBirthDate", "StudyID")
SHORTEST_PART = 3
"""Of a patient's name, parts shorter than this ("de", "Li") are taken out only as a part of the whole name."""

_PATH = re.compile(r"(?:(?<!\w)[A-Za-z]:[\\/]|\\\\|(?<![\w.>/:])/)[^\s\"'<>|:*?]*[\\/][^\"'“”<>|:*?\n]*")
"""An absolute path, to the next quotation mark or the line's end: names of patients have spaces in them."""

_TRACEBACK_FILE = re.compile(r'File "([^"\n]+)"')
_LIBRARIES = ("TransformerSegLib", "site-packages", "TransformerSeg")


class Redaction:
    """Names that were collected from a scene, and how they are taken out.

    Args:
        scene: names of its nodes, files and patients are collected now; they are remembered should it be closed.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._words: dict[str, str] = {}
        self.collect(scene)

    def collect(self, scene: slicer.vtkMRMLScene) -> None:
        """Remember the names that the scene has now, too: nodes are renamed, and added, while a run goes on."""
        for placeholder, words in (
            (NODE, _node_names(scene)),
            (FILE, _file_names(scene)),
            (PATIENT, _patients(scene)),
            (HOME, [str(Path.home())]),
            (USER, _user()),
        ):
            for word in words:
                if word.strip():
                    self._words.setdefault(word.strip(), placeholder)

    def applied(self, text: str) -> str:
        """The text with placeholders instead of names, and with paths cut down to what lies inside of a library."""
        text = _TRACEBACK_FILE.sub(lambda found: f'File "{_inside_library(found[1])}"', text)
        text = _PATH.sub(FILE, text)
        for word, placeholder in sorted(self._words.items(), key=lambda item: -len(item[0])):
            text = text.replace(f"“{word}”", f"“{placeholder}”")
            if not _is_common(word):
                case = re.IGNORECASE if placeholder == PATIENT else re.NOFLAG
                text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", placeholder, text, flags=case)
        return text


def _is_common(word: str) -> bool:
    """A node called "1" or "mm" cannot be taken out of a text but where it is quoted."""
    return len(word) < SHORTEST_PART or (word.isdecimal() and len(word) < 2 * SHORTEST_PART)


def _inside_library(path: str) -> str:
    parts = PurePath(path.replace("\\", "/")).parts
    for library in _LIBRARIES:
        if library in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(library) :])
    return parts[-1] if parts else path


def _user() -> list[str]:
    try:
        return [getpass.getuser()]
    except (OSError, KeyError, ImportError):  # a system that does not tell
        return []


def _node_names(scene: slicer.vtkMRMLScene) -> Iterator[str]:
    for kind in NAMED_CLASSES:
        for number in range(scene.GetNumberOfNodesByClass(kind)):
            yield scene.GetNthNodeByClass(number, kind).GetName() or ""


def _file_names(scene: slicer.vtkMRMLScene) -> Iterator[str]:
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLStorageNode")):
        yield from _of_path(scene.GetNthNodeByClass(number, "vtkMRMLStorageNode").GetFileName())
    yield from _of_path(scene.GetURL())


def _of_path(path: str | None) -> Iterator[str]:
    if path:
        yield path
        name = PurePath(path.replace("\\", "/")).name
        yield name
        yield name.partition(".")[0]


def _patients(scene: slicer.vtkMRMLScene) -> Iterator[str]:
    """Of the subject hierarchy: names of patients and studies, and what DICOM says of them."""
    hierarchy = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    if hierarchy is None:
        return
    for item in _items_below(hierarchy):
        if hierarchy.GetItemDataNode(item) is None:
            yield from _with_parts(hierarchy.GetItemName(item))
        for attribute in PATIENT_ATTRIBUTES:
            yield from _with_parts(hierarchy.GetItemAttribute(item, f"DICOM.{attribute}") or "")


def _items_below(hierarchy: slicer.vtkMRMLSubjectHierarchyNode) -> list[int]:
    from vtkmodules.vtkCommonCore import vtkIdList

    items = vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    return [items.GetId(number) for number in range(items.GetNumberOfIds())]


def _with_parts(name: str) -> Iterator[str]:
    yield name
    yield from (part for part in re.split(r"[\s^,;_]+", name) if len(part) >= SHORTEST_PART)
