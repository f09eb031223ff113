"""Which volumes are filled in by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import slicer

from TransformerSegLib.errors import TransformerSegError

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene

    from TransformerSegLib.bundles.library import ModelSummary
    from TransformerSegLib.panel.parameters import Parameters
    from TransformerSegLib.panel.session import Session


class InputFilling:
    """Fills in the inputs that nobody has chosen; what a person chose stays.

    Args:
        parameters: that hold the inputs.
        session: proposes volumes for a model.
    """

    def __init__(self, parameters: Parameters, session: Session) -> None:
        self._parameters = parameters
        self._session = session
        self._filled: dict[str, str] = {}  # channel → id of the node that was filled in
        self._confirmed: dict[str, str] = {}  # those of them that a person saw and let stand
        self._left_empty: set[str] = set()
        self._seen: set[str] = set()  # ids of the volumes that were there the last time

    def chosen_by_person(self, nodes: Mapping[str, vtkMRMLScalarVolumeNode | None]) -> None:
        """A person chose these; none, too, is a choice, unless the volume was deleted."""
        before = self._parameters.inputs
        changed = [name for name, node in nodes.items() if node is not before.get(name)]
        lost = [name for name in changed if nodes[name] is None and not slicer.mrmlScene.IsNodePresent(before[name])]
        for name, node in nodes.items():
            if node is not None:
                self._left_empty.discard(name)
            elif name in changed and name not in lost:
                self._left_empty.add(name)
        for name in changed:
            self._filled.pop(name, None)
        self._parameters.inputs = {**before, **nodes}
        if changed != lost:
            self.confirm()

    def confirm(self) -> None:
        """A person has seen what was filled in, and lets it stand."""
        self._confirmed = dict(self._filled)

    def told_by_name(self, model: ModelSummary | None) -> dict[str, bool]:
        """The channels of a model with several that were filled in by the volumes' names: name → confirmed."""
        if model is None or len(model.inputs) == 1:
            return {}
        chosen = {name: node.GetID() for name, node in self._parameters.inputs.items()}
        told = [name for name in model.inputs if name in chosen and chosen[name] == self._filled.get(name)]
        return {name: self._confirmed.get(name) == chosen[name] for name in told}

    def fill_again(self) -> None:
        """Propose anew what was filled in before: another volume may be shown now."""
        inputs = self._parameters.inputs
        kept = {name: node for name, node in inputs.items() if self._filled.get(name) != node.GetID()}
        self._filled.clear()
        self._parameters.inputs = kept

    def fill(self, model: ModelSummary | None) -> None:
        """Fill in the channels of the model that are empty and that no person left empty."""
        self._notice_new_volumes()
        if model is None or model.fault:
            return
        inputs = self._parameters.inputs
        empty = [name for name in model.inputs if name not in inputs and name not in self._left_empty]
        if not empty or not self._seen:
            return
        taken = [inputs[name] for name in model.inputs if name in inputs]
        for name, node in self._proposed(model).items():
            if name in empty and node is not None and node not in taken:
                inputs[name] = node
                self._filled[name] = node.GetID()
                if self._confirmed.get(name) != node.GetID():
                    self._confirmed.pop(name, None)
        self._parameters.inputs = inputs

    def _notice_new_volumes(self) -> None:
        """Who loads another volume, which is then shown, wants that one segmented."""
        present = {node.GetID() for node in _volumes(slicer.mrmlScene)}
        if present - self._seen:
            self.fill_again()
        self._seen = present

    def _proposed(self, model: ModelSummary) -> dict[str, vtkMRMLScalarVolumeNode | None]:
        before = list(self._parameters.inputs.values())
        if before and len(model.inputs) == 1:
            return {model.inputs[0]: before[0]}
        shown = shown_volume(slicer.mrmlScene)
        try:
            proposed = self._session.propose_inputs(model.name, shown) if model.on_disk else {}
        except TransformerSegError:
            return {}
        if not proposed and len(model.inputs) == 1:
            return {model.inputs[0]: shown}
        return proposed


def shown_volume(scene: vtkMRMLScene) -> vtkMRMLScalarVolumeNode | None:
    """The scalar volume in the background of the slice views; else the only one of the scene, if it is the only one."""
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = scene.GetNthNodeByClass(number, "vtkMRMLSliceCompositeNode")
        node = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if node is not None and _is_input(node):
            return node
    volumes = _volumes(scene)
    return volumes[0] if len(volumes) == 1 else None


def has_volumes(scene: vtkMRMLScene) -> bool:
    """Whether there is anything to segment."""
    return bool(_volumes(scene))


def _volumes(scene: vtkMRMLScene) -> list[vtkMRMLScalarVolumeNode]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene) if _is_input(node)]


def _is_input(node: slicer.vtkMRMLNode) -> bool:
    """Grey values; neither labels nor a node that is not to be seen."""
    return node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
