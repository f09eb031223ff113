"""Stand-in for ``slicer.dicomDatabase``: DICOM files that a test adds, found by instance and read by pydicom."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydicom


class DicomDatabase:
    isOpen = True

    def __init__(self):
        self._files: dict[str, str] = {}

    def add(self, files: Iterable[str | Path]) -> list[str]:
        """Add files, and answer their instance UIDs, in order. (Slicer's own is filled by its DICOM module.)"""
        uids = []
        for file in files:
            uid = str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
            self._files[uid] = str(file)
            uids.append(uid)
        return uids

    def fileForInstance(self, uid: str) -> str:
        return self._files.get(uid, "")

    def instanceForFile(self, path: str) -> str:
        return next((uid for uid, file in self._files.items() if file == str(path)), "")

    def instanceValue(self, uid: str, tag: str) -> str:
        """A tag, written "0008,0060", as text; "" where there is none."""
        return self.fileValue(self._files[uid], tag) if uid in self._files else ""

    def fileValue(self, path: str, tag: str) -> str:
        group, element = (int(part, 16) for part in tag.split(","))
        found = pydicom.dcmread(path, stop_before_pixels=True).get((group, element))
        if found is None or found.value is None:
            return ""
        many = isinstance(found.value, (list, tuple, pydicom.multival.MultiValue))
        return "\\".join(str(value) for value in found.value) if many else str(found.value)

    def instancesForSeries(self, series_uid: str) -> tuple[str, ...]:
        return tuple(uid for uid in self._files if self.instanceValue(uid, "0020,000e") == series_uid)

    def filesForSeries(self, series_uid: str) -> tuple[str, ...]:
        return tuple(self._files[uid] for uid in self.instancesForSeries(series_uid))

    def seriesForFile(self, path: str) -> str:
        return self.fileValue(str(path), "0020,000e")
