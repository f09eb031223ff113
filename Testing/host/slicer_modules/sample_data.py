"""Stand-in for ``SampleData``: the sources that modules register, really downloaded, checked and loaded."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.util import computeChecksum, extractAlgoAndDigest


@dataclass
class SampleDataSource:
    sampleName: str | None = None
    sampleDescription: str | None = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    checksums: Any = None
    loadFiles: Any = None
    customDownloader: Any = None
    thumbnailFileName: str | None = None
    loadFileType: Any = None
    loadFileProperties: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lists of equal length. Raises ValueError where they are not."""
        single = isinstance(self.uris, str)
        count = 1 if single else len(self.uris)
        self.sampleDescription = self.sampleDescription or self.sampleName
        for name in ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileType"):
            value = getattr(self, name)
            setattr(self, name, [value] * count if single or value is None or name == "loadFileType" else list(value))
        if len({len(getattr(self, name)) for name in ("uris", "fileNames", "nodeNames", "checksums")}) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        if self.thumbnailFileName and not Path(self.thumbnailFileName).is_file():
            raise ValueError(f"The thumbnail {self.thumbnailFileName} is not there.")


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            checksums=checksums,
            loadFiles=loadFiles,
            customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName,
            loadFileType=loadFileTypes or loadFileType,
            loadFileProperties=dict(loadFileProperties or {}),
        )
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None):
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        sources = (source for each in slicer.modules.sampleDataSources.values() for source in each)
        return next((source for source in sources if source.sampleName == sampleName), None)

    def downloadSamples(self, sampleName: str) -> list:
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source is not None else []

    def downloadSample(self, sampleName: str):
        return self.downloadSamples(sampleName)[0]

    def downloadFromSource(self, source: SampleDataSource) -> list:
        """The nodes, or where nothing is to be loaded the files. Raises ValueError for a wrong checksum."""
        if source.customDownloader is not None:
            return source.customDownloader(source)
        parts = zip(source.uris, source.fileNames, source.checksums, source.nodeNames, source.loadFileType, strict=True)
        return [
            _loaded(self.downloadFile(uri, slicer.app.cachePath, name, checksum), node_name, kind, source)
            for uri, name, checksum, node_name, kind in parts
        ]

    def downloadFile(self, uri: str, destFolderPath: str, name: str, checksum: str | None = None) -> str:
        path = Path(destFolderPath) / name
        urllib.request.urlretrieve(uri, path)  # noqa: S310
        algorithm, digest = extractAlgoAndDigest(checksum)
        if algorithm is not None and computeChecksum(algorithm, path) != digest:
            path.unlink()
            raise ValueError(f"{name} does not have the checksum {checksum}.")
        return str(path)


def _loaded(path: str, node_name: str | None, kind: str | None, source: SampleDataSource):
    if node_name is None:
        return path
    properties = {**source.loadFileProperties, "name": node_name}
    return slicer.util.loadNodeFromFile(path, kind or "VolumeFile", properties)


def downloadSample(sampleName: str):
    return SampleDataLogic().downloadSample(sampleName)


def downloadSamples(sampleName: str) -> list:
    return SampleDataLogic().downloadSamples(sampleName)
