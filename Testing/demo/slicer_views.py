"""Slice views and a 3D view, drawn off screen by Slicer's own displayable managers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import slicer
import vtkmodules.vtkInteractionStyle
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  VTK's factories find their OpenGL classes once they are loaded
from looking import PLANES, Focus, Plane, focus_on, window
from view_image import ViewImage, edge_letters
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkCollection
from vtkmodules.vtkRenderingCore import (
    vtkActor2D,
    vtkImageMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkRenderWindowInteractor,
    vtkWindowToImageFilter,
)

from TransformerSegLib.inference.proposal import Proposal
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.interaction.doubt import Doubt
from TransformerSegLib.interaction.run_scores import RunScores
from TransformerSegLib.scene.confidence_volume import confidence_volume
from TransformerSegLib.scene.doubt_record import doubt_record, store_doubt
from TransformerSegLib.scene.kept_scores import keep_scores
from TransformerSegLib.scene.merging import put_run
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.segmentations import add_segmentation_node
from TransformerSegLib.scene.slice_views import lay_over
from TransformerSegLib.scene.volumes import add_volume_node

_SLICE_MANAGERS = ("vtkMRMLModelSliceDisplayableManager", "vtkMRMLSegmentationsDisplayableManager2D")
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)
_SURFACE = "Closed surface"
_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
_FILL_OPACITY = 0.35
_OUTLINE_PIXELS = 6
# The 3D view shows what is behind and below the segments, this far from them.
_BACKDROP_MM = 2.0
_BACKDROP_PIXELS = 512
# From the patient's left, a little from the front and from above, in RAS.
_CAMERA_DIRECTION = np.array([-0.80, 0.42, 0.42])
_CAMERA_ANGLE_DEGREES = 30.0


def draw_views(
    volume: Volume, segmentation: Segmentation, reference: Segmentation | None, focus: Focus, size: int
) -> list[ViewImage]:
    """Put them into a MRML scene and draw its axial, coronal, sagittal and 3D view.

    Args:
        reference: shown by its outlines, in the slices; None where there is none.
        size: height and width of each view, pixels.
    """
    with offscreen_application() as application, ExitStack() as views:
        _prepare(application)
        scene = application.GetMRMLScene()
        volume_node = add_volume_node(scene, volume)
        _show_volume(volume_node, *window(volume))
        _show_segments(add_segmentation_node(scene, segmentation, volume_node))
        if reference is not None:
            _show_outlines(add_segmentation_node(scene, reference, volume_node))
        images = []
        for plane in PLANES:
            view = _SliceView(application, plane, volume_node, focus, size)
            views.callback(view.close)
            images.append(view.image())
        view = _ThreeDView(application, volume_node, focus, size)
        views.callback(view.close)
        return [*images, view.image()]


def draw_doubt(
    volume: Volume, segmentation: Segmentation, scores: RunScores, doubt: Doubt, size: int
) -> list[ViewImage]:
    """The axial, coronal and sagittal view of the first doubtful place, with what the panel lays over them."""
    with offscreen_application() as application, ExitStack() as views:
        _prepare(application)
        scene = application.GetMRMLScene()
        volume_node = add_volume_node(scene, volume)
        _show_volume(volume_node, *window(volume))
        outcome = put_run(scene, segmentation, Proposal.of(segmentation), volume_node, None)
        keep_scores(outcome.node, outcome.added, scores)
        store_doubt(outcome.node, outcome.added, doubt)
        _show_segments(outcome.node)
        outcome.node.GetDisplayNode().SetVisibility2DFill(False)
        place = np.array(doubt_record(outcome.node).places[0].middle)
        focus = replace(focus_on(segmentation), cuts=place)
        shown = [_SliceView(application, plane, volume_node, focus, size) for plane in PLANES]
        for view in shown:
            views.callback(view.close)
        lay_over(scene, confidence_volume(outcome.node))
        return [view.image() for view in shown]


def _prepare(application: slicer.vtkSlicerApplicationLogic) -> None:
    scene = application.GetMRMLScene()
    application.SetSliceLogics(vtkCollection())
    application.SetViewLogics(vtkCollection())
    for factory in (_slice_factory(), _three_d_factory()):
        factory.SetMRMLApplicationLogic(application)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)


def _show_volume(node: slicer.vtkMRMLScalarVolumeNode, low: float, high: float) -> None:
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    display.SetInterpolate(True)


def _show_segments(node: slicer.vtkMRMLSegmentationNode) -> None:
    """As smooth surfaces, in every view."""
    node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    # Surfaces are smoothed: where two classes meet, they would overlap in a slice as the voxels do not.
    display.SetPreferredDisplayRepresentationName2D(_LABELMAP)
    display.SetPreferredDisplayRepresentationName3D(_SURFACE)
    display.SetOpacity2DFill(_FILL_OPACITY)
    display.SetSliceIntersectionThickness(_OUTLINE_PIXELS)


def _show_outlines(node: slicer.vtkMRMLSegmentationNode) -> None:
    _show_segments(node)
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility3D(False)
    display.SetSliceIntersectionThickness(_OUTLINE_PIXELS // 2)


class _View:
    """A render window with the displayable managers of one MRML view."""

    def __init__(self, factory: slicer.vtkMRMLDisplayableManagerFactory, managers: Sequence[str], size: int) -> None:
        self.renderer = vtkRenderer()
        self.window = vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)  # many drivers cannot draw transparent surfaces with it
        self.window.SetSize(size, size)
        self.window.AddRenderer(self.renderer)
        self._interactor = vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self.window)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self.renderer)
        self._group.Initialize(factory, self.renderer)

    def show(self, view_node: slicer.vtkMRMLAbstractViewNode) -> None:
        self._group.SetMRMLDisplayableNode(view_node)

    def pixels(self) -> np.ndarray:
        self.window.Render()
        grabber = vtkWindowToImageFilter()
        grabber.SetInput(self.window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()

    def close(self) -> None:
        """Before the scene is closed: the managers observe it, and draw with the window's OpenGL context."""
        self._group.SetMRMLDisplayableNode(None)
        self.window.RemoveRenderer(self.renderer)
        self.window.Finalize()


class _SliceView(_View):
    def __init__(
        self,
        application: slicer.vtkSlicerApplicationLogic,
        plane: Plane,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        focus: Focus,
        size: int,
    ) -> None:
        super().__init__(_slice_factory(), _SLICE_MANAGERS, size)
        self._plane = plane
        self._field_of_view = focus.field_of_view(plane)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        background = self._add_background()  # before the segments, which are drawn over it
        self._logic = _slice_logic(application, plane.name, plane, volume_node, size)
        node = self._logic.GetSliceNode()
        node.SetFieldOfView(self._field_of_view, self._field_of_view, self._field_of_view / size)
        node.JumpSliceByCentering(*focus.centre_in(plane))
        background.SetInputConnection(self._logic.GetImageDataConnection())
        self.show(node)

    def _add_background(self) -> vtkImageMapper:
        mapper = vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        actor = vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        return mapper

    def image(self) -> ViewImage:
        edges = edge_letters(self._plane.right, self._plane.up)
        return ViewImage(self._plane.name, self._plane.color, self.pixels(), edges, self._field_of_view)

    def close(self) -> None:
        super().close()
        self._logic.SetMRMLScene(None)


class _ThreeDView(_View):
    def __init__(
        self,
        application: slicer.vtkSlicerApplicationLogic,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        focus: Focus,
        size: int,
    ) -> None:
        super().__init__(_three_d_factory(), _THREE_D_MANAGERS, size)
        self._backdrops = [
            _backdrop(application, "Sagittal", focus.high + _BACKDROP_MM, focus, volume_node),
            _backdrop(application, "Axial", focus.low - _BACKDROP_MM, focus, volume_node),
        ]
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(application)
        application.GetViewLogics().AddItem(self._logic)
        self._logic.SetMRMLScene(application.GetMRMLScene())
        node = self._logic.AddViewNode("1")
        self.show(node)
        node.SetBoxVisible(False)
        node.SetAxisLabelsVisible(False)
        self._look_at(focus)

    def _look_at(self, focus: Focus) -> None:
        camera = self.renderer.GetActiveCamera()
        radius = np.linalg.norm(focus.high - focus.low) / 2
        distance = radius / np.sin(np.radians(_CAMERA_ANGLE_DEGREES / 2))
        camera.SetViewAngle(_CAMERA_ANGLE_DEGREES)
        camera.SetFocalPoint(focus.centre)
        camera.SetPosition(focus.centre + distance * _CAMERA_DIRECTION / np.linalg.norm(_CAMERA_DIRECTION))
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCameraClippingRange()

    def image(self) -> ViewImage:
        return ViewImage("3D, from the left, front and above", "#C9D0E8", self.pixels())

    def close(self) -> None:
        super().close()
        for logic in (self._logic, *self._backdrops):
            logic.SetMRMLScene(None)


def _backdrop(
    application: slicer.vtkSlicerApplicationLogic,
    orientation: str,
    place: np.ndarray,
    focus: Focus,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLSliceLogic:
    """A slice of the volume that is seen in the 3D view, through the point ``place``."""
    plane = next(plane for plane in PLANES if plane.name == orientation)
    logic = _slice_logic(application, f"{orientation} backdrop", plane, volume_node, _BACKDROP_PIXELS)
    logic.FitSliceToBackground()
    node = logic.GetSliceNode()
    point = focus.centre
    point[plane.normal] = place[plane.normal]
    node.JumpSliceByOffsetting(*point)
    node.SetSliceVisible(True)
    return logic


def _slice_logic(
    application: slicer.vtkSlicerApplicationLogic,
    name: str,
    plane: Plane,
    volume_node: slicer.vtkMRMLScalarVolumeNode,
    size: int,
) -> slicer.vtkMRMLSliceLogic:
    """Cuts the volume, for a view of ``size`` pixels."""
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(application.GetMRMLScene())
    logic.AddSliceNode(name).SetOrientation(plane.name)
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume_node.GetID())
    logic.ResizeSliceNode(size, size)
    return logic


def _slice_factory() -> slicer.vtkMRMLSliceViewDisplayableManagerFactory:
    return slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()


def _three_d_factory() -> slicer.vtkMRMLThreeDViewDisplayableManagerFactory:
    return slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
