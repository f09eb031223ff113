"""The choices of the panel, kept in the scene's parameter node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import slicer
import vtk
from slicer.util import VTKObservationMixin

from TransformerSegLib.inference.devices import AUTO
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.panel.request import Request


class Parameters:
    """A wrapped parameter node as the panel reads and writes it. Writing what is there already changes nothing.

    Args:
        node: fields inputs, region, model, segmentation, unwantedClasses, device, preset, smoothing, surfaces,
            allFrames.
        panel: the widget whose children are bound by their property ``SlicerParameterName``.
        on_changed: called when any field changed.
    """

    def __init__(self, node: object, panel: slicer.qMRMLWidget, on_changed: Callable[[], None]) -> None:
        self._node = node
        self._on_changed = on_changed
        self._gui = node.connectParametersToGui(_bound_widgets(panel))
        self._observed = VTKObservationMixin()
        self._observed.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._changed)

    def close(self) -> None:
        """Let go of the node and of the widgets."""
        self._node.disconnectGui(self._gui)
        self._observed.removeObservers()

    @property
    def inputs(self) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
        """Channel name → volume; channels for which none is chosen are left out."""
        return {name: node for name, node in self._node.inputs.items() if node is not None}

    @inputs.setter
    def inputs(self, nodes: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None]) -> None:
        chosen = {name: node for name, node in nodes.items() if node is not None}
        if chosen != self.inputs:
            self._node.inputs = chosen

    @property
    def region(self) -> slicer.vtkMRMLMarkupsROINode | None:
        return self._node.region

    @region.setter
    def region(self, node: slicer.vtkMRMLMarkupsROINode | None) -> None:
        self._set("region", node)

    @property
    def model(self) -> str:
        return self._node.model

    @model.setter
    def model(self, name: str) -> None:
        self._set("model", name)

    @property
    def segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node.segmentation

    @property
    def unwanted(self) -> list[str]:
        """Names of the structures that are not wanted."""
        return list(self._node.unwantedClasses)

    @unwanted.setter
    def unwanted(self, names: Sequence[str]) -> None:
        if list(names) != self.unwanted:
            self._node.unwantedClasses = list(names)

    @property
    def device(self) -> str:
        return self._node.device or AUTO

    @device.setter
    def device(self, name: str) -> None:
        self._set("device", name)

    @property
    def preset(self) -> Preset:
        """The chosen one; the standard one where a scene names one that this version lacks."""
        known = {preset.value: preset for preset in Preset}
        return known.get(self._node.preset, Preset.STANDARD)

    @preset.setter
    def preset(self, preset: Preset) -> None:
        self._set("preset", preset.value)

    @property
    def surfaces(self) -> bool:
        return self._node.surfaces

    @property
    def smoothing(self) -> float:
        return self._node.smoothing

    def request(self, channels: Sequence[str], structures: Sequence[str]) -> Request:
        """What Segment would do now; nothing in it is confirmed.

        Args:
            channels: names of the model's inputs, in its order.
            structures: names of the model's classes.
        """
        inputs, unwanted = self.inputs, set(self.unwanted)
        wanted = tuple(name for name in structures if name not in unwanted)
        return Request(
            volumes=tuple(inputs.get(name) for name in channels),
            model=self.model,
            region=self.region,
            target=self.segmentation,
            classes=None if len(wanted) == len(structures) else wanted,
            device=self.device,
            preset=self.preset,
            surfaces=self.surfaces,
            smoothing=self.smoothing,
            all_frames=self._node.allFrames,
        )

    def _set(self, field: str, value: object) -> None:
        if getattr(self._node, field) != value:
            setattr(self._node, field, value)

    def _changed(self, caller: object, event: str) -> None:
        self._on_changed()


def _bound_widgets(panel: slicer.qMRMLWidget) -> dict[str, object]:
    """Parameter name → the widget whose ``.ui`` file binds it. (``connectGui`` would find them by itself, but gives no
    tag by which they are let go.)"""
    widgets = ((widget.property("SlicerParameterName"), widget) for widget in slicer.util.findChildren(panel))
    return {name: widget for name, widget in widgets if name}
