"""A MONAI bundle on disk → a ``Bundle``: read as data, with an allow-list, and nothing executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.component import read_component
from TransformerSegLib.bundles.configuration import Configuration, read_json
from TransformerSegLib.bundles.layout import CONFIGURATION, METADATA, licence_title, required_file, weights_file
from TransformerSegLib.bundles.metadata import card_from_metadata
from TransformerSegLib.bundles.output import read_output
from TransformerSegLib.bundles.plan import NetworkPlan, Plan, SlicePlan, WindowPlan
from TransformerSegLib.bundles.preparation import read_preparation
from TransformerSegLib.bundles.training_version import training_version
from TransformerSegLib.bundles.window import check_dimensions, check_slice_axis, read_window
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.registry import architecture_for, configured
from TransformerSegLib.networks.swin_unetr import SwinUNETR, merging_told


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
    plan = _plan(configuration, lambda: training_version(metadata, weights))
    card = card_from_metadata(metadata, plan, name=folder.name, licence=licence_title(folder))
    merging = merging_told(plan.network.arguments) if plan.network.architecture == SwinUNETR.name else ""
    return Bundle(folder, card.model_copy(update={"patch_merging": merging}), plan, weights)


def _plan(configuration: Configuration, trained_with_monai: Callable[[], str | None]) -> Plan:
    preprocessing = configuration.resolved("preprocessing")
    window = read_window(configuration.resolved("inferer"))
    network = _network(configuration, window, trained_with_monai)
    output = read_output(configuration.resolved("postprocessing"), preprocessing)
    plan = Plan(network, read_preparation(preprocessing), window, output)
    check_slice_axis(plan)
    return plan


def _network(
    configuration: Configuration, window: WindowPlan | SlicePlan, trained_with_monai: Callable[[], str | None]
) -> NetworkPlan:
    component = read_component(configuration.resolved("network_def"), "the network (network_def)")
    if component is None:
        raise BundleRejected(
            "The bundle's network_def is switched off", why="it names the network", remedy="Fetch the bundle again"
        )
    kind = architecture_for(component.target)
    check_dimensions(kind, window)
    version = trained_with_monai() if kind.depends_on_monai(component.arguments) else None
    given = configured(kind.name, kind.modern(component.arguments, version))
    if fault := given.window_fault(window.size):
        part, size = ("slice", "size") if isinstance(window, SlicePlan) else ("window", "roi_size")
        raise BundleRejected(
            f"The bundle's {part} of {'×'.join(map(str, window.size))} voxels does not suit its network ({fault})",
            why=f"every {part} passes through the network",
            remedy=f"Correct {size} of the inferer in configs/inference.json",
        )
    return NetworkPlan(kind.name, given.model_dump(mode="json", exclude_unset=True))
