"""Which files a bundle consists of, and where they lie in its folder."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted

METADATA = "configs/metadata.json"
CONFIGURATION = "configs/inference.json"
LICENCE = "LICENSE"
DESCRIPTION = "docs/README.md"
WEIGHTS = ("models/model.safetensors", "models/model.pt")
"""Where the weights may lie; the first that is there is taken."""

TORCHSCRIPT = "models/model.ts"

LICENCE_CHARACTERS = 2000
"""How much of the licence's text is looked at for its title."""


def model_folders(shelf: Path) -> dict[str, Path]:
    """The bundles that lie side by side in a folder, by their names. Hidden folders are drafts, and left out."""
    folders = (path.parent.parent for path in sorted(shelf.glob(f"*/{METADATA}")))
    return {folder.name: folder for folder in folders if not folder.name.startswith(".")}


def inside(folder: Path, path: Path) -> Path:
    """``path``, a file of the bundle in ``folder``.

    Raises:
        BundleRejected: it is a link that leads out of the folder.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleRejected(
            f"{path.relative_to(folder)} of {quoted(folder.name)} is a link to a file outside of the bundle",
            why="only a bundle's own files are read",
            remedy="Replace the link by the file itself",
        )
    return path


def required_file(folder: Path, name: str) -> Path:
    """A file that every bundle holds.

    Raises:
        BundleRejected: it is missing, or a link that leads out of the bundle.
    """
    path = folder / name
    if not path.is_file():
        raise missing_file(folder.name, name)
    return inside(folder, path)


def missing_file(bundle: str, name: str) -> BundleRejected:
    """The error for a bundle without a file that every bundle holds."""
    return BundleRejected(
        f"{quoted(bundle)} has no {name}",
        why="a MONAI bundle holds it",
        remedy="Choose the folder that holds configs and models, or fetch the bundle again",
    )


def weights_file(folder: Path) -> Path:
    """The bundle's weights.

    Raises:
        BundleRejected: there are none, or they are a link that leads out of the bundle.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return inside(folder, folder / name)
    raise missing_weights(folder.name, torchscript=(folder / TORCHSCRIPT).is_file())


def missing_weights(bundle: str, *, torchscript: bool) -> BundleRejected:
    """The error for a bundle without weights.

    Args:
        bundle: its name.
        torchscript: it holds its model as TorchScript.
    """
    if torchscript:
        return BundleRejected(
            f"{quoted(bundle)} holds its model as TorchScript only",
            why="that is a program, and code from a bundle is never run",
            remedy="Ask the model's makers for models/model.safetensors or models/model.pt",
        )
    return BundleRejected(
        f"{quoted(bundle)} has no weights",
        why=f"they lie in {' or '.join(WEIGHTS)}",
        remedy="Fetch the bundle again, with its large files",
    )


def licence_title(folder: Path) -> str:
    """The first line of the bundle's licence; empty where it has none.

    Raises:
        BundleRejected: the file is a link that leads out of the bundle.
    """
    path = folder / LICENCE
    if not path.is_file():
        return ""
    with inside(folder, path).open(encoding="utf-8", errors="replace") as file:
        lines = file.read(LICENCE_CHARACTERS).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")
