"""Stand-in for the layout manager and the slice views: the real logics, without windows."""

from __future__ import annotations

from host.scene import Scene


class SliceWidget:
    """One of the three slice views, without a window."""

    def __init__(self, logic):
        self._logic = logic

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class LayoutManager:
    """Three slice views and no 3D view."""

    threeDViewCount = 0
    tableViewCount = 0
    plotViewCount = 0

    def __init__(self, scene: Scene):
        self._scene = scene
        self._widgets = {name: SliceWidget(logic) for name, logic in scene.slice_logics.items()}

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self):
        return self._scene.application_logic.GetSliceLogics()

    def threeDWidget(self, _index: int) -> None:
        return None

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        pass
