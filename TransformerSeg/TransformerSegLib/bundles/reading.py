"""A MONAI bundle on disk → a ``Bundle``: read as data, with an allow-list, and nothing executed."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.component import read_component
from TransformerSegLib.bundles.configuration import Configuration, read_json
from TransformerSegLib.bundles.metadata import OWN_BLOCK, card_from_metadata
from TransformerSegLib.bundles.output import read_output
from TransformerSegLib.bundles.plan import NetworkPlan, Plan
from TransformerSegLib.bundles.preparation import read_preparation
from TransformerSegLib.bundles.window import read_window
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.registry import architecture_for, configured

METADATA = "configs/metadata.json"
CONFIGURATION = "configs/inference.json"
LICENCE = "LICENSE"
WEIGHTS = ("models/model.safetensors", "models/model.pt")
"""Where the weights may lie; the first that is there is taken."""

TORCHSCRIPT = "models/model.ts"

LICENCE_CHARACTERS = 2000
"""How much of the licence's text is looked at for its title."""


def read_bundle(folder: Path | str) -> Bundle:
    """Read a MONAI bundle (https://docs.monai.io/en/stable/mb_specification.html).

    Its loaders, handlers and evaluator are not read: only ``network_def``, ``preprocessing``, ``inferer`` and
    ``postprocessing`` of ``configs/inference.json``, and ``configs/metadata.json``. Loads neither torch nor weights.

    Args:
        folder: the bundle's folder, the one that holds ``configs`` and ``models``.

    Raises:
        BundleRejected: it is incomplete, damaged, or asks for something that is not on the allow-list.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise BundleRejected(
            f"There is no folder “{folder}”",
            why="a model is a folder with configs and models in it",
            remedy="Check the path",
        )
    metadata = read_json(_file(folder, METADATA))
    configuration = Configuration(read_json(_file(folder, CONFIGURATION)))
    weights = _weights(folder)
    plan = _plan(configuration, _trained_with(metadata))
    card = card_from_metadata(metadata, plan, name=folder.name, licence=_licence(folder))
    return Bundle(folder, card, plan, weights)


def _file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise BundleRejected(
            f"“{folder.name}” has no {name}",
            why="a MONAI bundle holds it",
            remedy="Choose the folder that holds configs and models, or fetch the bundle again",
        )
    return _inside(folder, path)


def _inside(folder: Path, path: Path) -> Path:
    if not path.resolve().is_relative_to(folder):
        raise BundleRejected(
            f"{path.relative_to(folder)} of “{folder.name}” is a link to a file outside of the bundle",
            why="only a bundle's own files are read",
            remedy="Replace the link by the file itself",
        )
    return path


def _weights(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return _inside(folder, folder / name)
    if (folder / TORCHSCRIPT).is_file():
        raise BundleRejected(
            f"“{folder.name}” holds its model as TorchScript only",
            why="that is a program, and code from a bundle is never run",
            remedy="Ask the model's makers for models/model.safetensors or models/model.pt",
        )
    raise BundleRejected(
        f"“{folder.name}” has no weights",
        why=f"they lie in {' or '.join(WEIGHTS)}",
        remedy="Fetch the bundle again, with its large files",
    )


def _trained_with(metadata: dict[str, object]) -> str | None:
    own = metadata.get(OWN_BLOCK)
    version = (own.get("trained_with_monai") if isinstance(own, dict) else None) or metadata.get("monai_version")
    return version if isinstance(version, str) else None


def _plan(configuration: Configuration, trained_with_monai: str | None) -> Plan:
    preprocessing = configuration.resolved("preprocessing")
    window = read_window(configuration.resolved("inferer"))
    network = _network(configuration, window.roi_size, trained_with_monai)
    output = read_output(configuration.resolved("postprocessing"), preprocessing)
    return Plan(network, read_preparation(preprocessing), window, output)


def _network(
    configuration: Configuration, roi_size: tuple[int, int, int], trained_with_monai: str | None
) -> NetworkPlan:
    component = read_component(configuration.resolved("network_def"), "the network (network_def)")
    if component is None:
        raise BundleRejected(
            "The bundle's network_def is switched off", why="it names the network", remedy="Fetch the bundle again"
        )
    kind = architecture_for(component.target)
    given = configured(kind.name, kind.modern(component.arguments, trained_with_monai))
    if fault := given.window_fault(roi_size):
        raise BundleRejected(
            f"The bundle's window of {'×'.join(map(str, roi_size))} voxels does not suit its network ({fault})",
            why="every window passes through the network",
            remedy="Correct roi_size of the inferer in configs/inference.json",
        )
    return NetworkPlan(kind.name, given.model_dump(mode="json", exclude_unset=True))


def _licence(folder: Path) -> str:
    path = folder / LICENCE
    if not path.is_file():
        return ""
    with _inside(folder, path).open(encoding="utf-8", errors="replace") as file:
        lines = file.read(LICENCE_CHARACTERS).splitlines()
    return next((line.strip() for line in lines if line.strip()), "")
