"""A folder of hostile bundles, checkpoints and archives, each with the sentence that must refuse it.

``python Testing/hostile.py FOLDER`` writes it; ``python Testing/gauntlet.py FOLDER`` shows what becomes of each.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bundle_factory import write_bundle
from hostile_archives import ARCHIVES
from hostile_bundles import BUNDLES, SAFETENSORS, SPARED
from hostile_pickles import CHECKPOINTS

CANARY = "canary"
"""The file in the folder that a payload makes, should one ever run."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Hostile:
    """One of them.

    Attributes:
        path: of the bundle's folder or the archive, in the folder of all.
        says: what the refusal says, or a part of it; empty where it is harmless, and read.
        checkpoint: of a bundle whose weights are the hostile part, their path in it; else empty.
    """

    path: str
    says: str
    checkpoint: str = ""


def write_hostile(folder: Path) -> list[Hostile]:
    """Write all of them into ``folder``, with a list of them."""
    canary = folder / CANARY
    good = write_bundle(folder / "good" / "bundle")
    written = [*_bundles(folder, good, canary), *_checkpoints(folder, good, canary), *_archives(folder, good)]
    shutil.rmtree(good.parent)
    (folder / MANIFEST).write_text(json.dumps([asdict(one) for one in written], indent=2), encoding="utf-8")
    return written


def read_manifest(folder: Path) -> list[Hostile]:
    """What was written into ``folder``."""
    return [Hostile(**one) for one in json.loads((folder / MANIFEST).read_text(encoding="utf-8"))]


def _bundles(folder: Path, good: Path, canary: Path) -> Iterator[Hostile]:
    spared = {name: ("", change) for name, change in SPARED.items()}
    for name, (says, change) in (spared | BUNDLES).items():
        path = f"{'bundles' if says else 'spared'}/{name}"
        change(shutil.copytree(good, folder / path), canary)
        yield Hostile(path, says)


def _checkpoints(folder: Path, good: Path, canary: Path) -> Iterator[Hostile]:
    for name, (says, program) in CHECKPOINTS.items():
        bundle = shutil.copytree(good, folder / "checkpoints" / name)
        (bundle / SAFETENSORS).unlink()
        (bundle / "models" / "model.pt").write_bytes(program(canary))
        yield Hostile(f"checkpoints/{name}", says, "models/model.pt")


def _archives(folder: Path, good: Path) -> Iterator[Hostile]:
    (folder / "archives").mkdir()
    for name, (says, write) in ARCHIVES.items():
        (folder / "archives" / f"{name}.zip").write_bytes(write(good))
        yield Hostile(f"archives/{name}.zip", says)


if __name__ == "__main__":
    print(f"{len(write_hostile(Path(sys.argv[1])))} written to {sys.argv[1]}")
