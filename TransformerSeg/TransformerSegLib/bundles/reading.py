"""A MONAI bundle on disk → a ``Bundle``: read as data, with an allow-list, and nothing executed."""

from __future__ import annotations

from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.component import read_component
from TransformerSegLib.bundles.configuration import Configuration, read_json
from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.layout import CONFIGURATION, METADATA, licence_title, required_file, weights_file
from TransformerSegLib.bundles.metadata import card_from_metadata
from TransformerSegLib.bundles.output import read_output
from TransformerSegLib.bundles.plan import NetworkPlan, Plan
from TransformerSegLib.bundles.preparation import read_preparation
from TransformerSegLib.bundles.window import read_window
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.registry import architecture_for, configured


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
    metadata = read_json(required_file(folder, METADATA))
    configuration = Configuration(read_json(required_file(folder, CONFIGURATION)))
    weights = weights_file(folder)
    plan = _plan(configuration, _trained_with(metadata))
    card = card_from_metadata(metadata, plan, name=folder.name, licence=licence_title(folder))
    return Bundle(folder, card, plan, weights)


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
