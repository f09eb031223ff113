"""Stand-in for qMRMLNodeComboBox: the nodes of some types in the scene, one of them chosen."""

from __future__ import annotations

import vtk

from host import qt
from host.qmrml.observing import Observers
from host.qt.native import QtCore

_FOLLOWED = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")
_CREATE = "create "
_DELETE = "delete"


def _property(kind, name: str):
    def get(self):
        return getattr(self, name)

    def set_(self, value) -> None:
        setattr(self, name, value)
        self._refresh()

    return QtCore.Property(kind, get, set_)


class qMRMLNodeComboBox(qt.QWidget):
    SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeIDChanged(QString)",
        "nodeActivated(vtkMRMLNode*)",
        "nodeAdded(vtkMRMLNode*)",
        "nodeAddedByUser(vtkMRMLNode*)",
        "nodeAboutToBeRemoved(vtkMRMLNode*)",
    )
    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)

    _scene = None
    _scene_observers: Observers
    _node_observers: Observers
    _types: list = []  # noqa: RUF012
    _none = False
    _none_text = "None"
    _add = True
    _remove = True
    _edit = False
    _rename = False
    _hidden = False
    _child_types = True
    _select_created = True
    _base_name = ""
    _filters: tuple = ()
    _box = None
    _chosen = ""
    _listed: tuple = ()

    def __init__(self, parent=None):
        super().__init__(*([] if parent is None else [parent]))
        self._scene_observers = Observers()
        self._node_observers = Observers()
        self._box = qt.QComboBox()
        self._box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(self._activate)

    nodeTypes = _property("QStringList", "_types")
    noneEnabled = _property(bool, "_none")
    noneDisplay = _property(str, "_none_text")
    addEnabled = _property(bool, "_add")
    removeEnabled = _property(bool, "_remove")
    editEnabled = _property(bool, "_edit")
    renameEnabled = _property(bool, "_rename")
    showHidden = _property(bool, "_hidden")
    showChildNodeTypes = _property(bool, "_child_types")
    selectNodeUponCreation = _property(bool, "_select_created")
    baseName = _property(str, "_base_name")

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene) -> None:
        self._scene = scene
        self._scene_observers.clear()
        if scene is not None:
            for event in _FOLLOWED:
                self._scene_observers.add(scene, getattr(scene, event), self._refresh)
        self._refresh()

    def addAttribute(self, node_type: str, name: str, value=None) -> None:
        """Offer only nodes of that type that carry the attribute (with that value, if one is given)."""
        self._filters = (*self._filters, (node_type, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        self._filters = tuple(each for each in self._filters if each[:2] != (node_type, name))
        self._refresh()

    def currentNode(self):
        return self._scene.GetNodeByID(self._chosen) if self._scene is not None and self._chosen else None

    def setCurrentNode(self, node) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def _get_id(self) -> str:
        return self._chosen

    def setCurrentNodeID(self, node_id: str | None) -> None:
        self._choose(node_id or "")

    currentNodeID = QtCore.Property(str, _get_id, setCurrentNodeID)

    def _get_index(self) -> int:
        return self._box.currentIndex

    def setCurrentNodeIndex(self, index: int) -> None:
        self._choose(self._listed[index] if 0 <= index < len(self._listed) else "")

    currentNodeIndex = QtCore.Property(int, _get_index, setCurrentNodeIndex)

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int):
        return self._scene.GetNodeByID(self._listed[index]) if 0 <= index < len(self._listed) else None

    def nodes(self) -> list:
        return [self._scene.GetNodeByID(node_id) for node_id in self._listed]

    def addNode(self, node_type: str | None = None):
        """What "Create new …" in the list does."""
        node_type = node_type or self._types[0]
        base = self._base_name or self._scene.CreateNodeByClass(node_type).GetNodeTagName()
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(base))
        for _node_type, name, value in (each for each in self._filters if each[0] == node_type):
            node.SetAttribute(name, value or "")
        self._refresh()
        if self._select_created:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def _offers(self, node) -> bool:
        fits = node.IsA if self._child_types else lambda name: node.GetClassName() == name
        if not any(fits(name) for name in self._types) or (node.GetHideFromEditors() and not self._hidden):
            return False
        wanted = [(name, value) for node_type, name, value in self._filters if node.IsA(node_type)]
        return all(
            node.GetAttribute(name) is not None if value is None else node.GetAttribute(name) == value
            for name, value in wanted
        )

    def _candidates(self) -> list:
        """The nodes of its types, whether they are offered or not."""
        scene = self._scene
        if scene is None:
            return []
        counts = ((node_type, scene.GetNumberOfNodesByClass(node_type)) for node_type in self._types)
        nodes = (scene.GetNthNodeByClass(number, node_type) for node_type, count in counts for number in range(count))
        return list({node.GetID(): node for node in nodes}.values())

    def _refresh(self) -> None:
        """List anew what the scene holds, and choose anew where the chosen node is gone."""
        if self._box is None or (self._scene is not None and self._scene.IsBatchProcessing()):
            return
        self._node_observers.clear()
        for node in self._candidates():
            self._node_observers.add(node, vtk.vtkCommand.ModifiedEvent, self._follow_nodes)
        nodes = [node for node in self._candidates() if self._offers(node)]
        self._listed = tuple(node.GetID() for node in nodes)
        self._fill(nodes)
        if self._chosen not in self._listed:
            self._choose("" if self._none or not self._listed else self._listed[0])
        else:
            self._show_choice()

    def _fill(self, nodes: list) -> None:
        self._box.clear()
        if self._none:
            self._box.addItem(self._none_text, "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        if self._scene is None:
            return
        if self._add:
            for node_type in self._types:
                self._box.addItem(f"Create new {_title(self._scene, node_type)}", _CREATE + node_type)
        if self._remove and nodes:
            self._box.addItem("Delete current node", _DELETE)

    def _follow_nodes(self) -> None:
        """A node was renamed, hidden, or has another attribute."""
        offered = [node for node in self._candidates() if self._offers(node)]
        if tuple(node.GetID() for node in offered) != self._listed:
            self._refresh()
        for node in offered:
            self._box.setItemText(self._box.findData(node.GetID()), node.GetName())

    def _activate(self, index: int) -> None:
        """A person picked an entry."""
        picked = self._box.itemData(index)
        if picked == _DELETE:
            self.removeCurrentNode()
        elif picked.startswith(_CREATE):
            self._show_choice()
            self.addNode(picked.removeprefix(_CREATE))
        else:
            self._choose(picked)
            self.nodeActivated.emit(self.currentNode())

    def _choose(self, node_id: str) -> None:
        node_id = node_id if node_id in self._listed else ""
        changed = node_id != self._chosen
        self._chosen = node_id
        self._show_choice()
        if changed:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id)

    def _show_choice(self) -> None:
        self._box.setCurrentIndex(self._box.findData(self._chosen) if self._chosen or self._none else -1)


def _title(scene, node_type: str) -> str:
    return scene.GetTypeDisplayName(node_type) if hasattr(scene, "GetTypeDisplayName") else node_type
