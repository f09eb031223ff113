"""A scripted module as Slicer's wizard makes them, for the tests of the stand-in itself."""

from typing import Annotated

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Sample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("A sample")
        self.parent.categories = ["Segmentation"]


@parameterNodeWrapper
class SampleParameters:
    volume: vtkMRMLScalarVolumeNode
    inputs: dict[str, vtkMRMLScalarVolumeNode]
    classes: list[str]
    surfaces: bool = True
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.25


class SampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.happened = []

    def setup(self):
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/Sample.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = SampleLogic()
        self.parameters = SampleParameters(self.logic.getParameterNode())
        self.parameters.connectGui(self.ui)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)

    def onApply(self, checked):
        self.happened.append(f"clicked {checked}")

    def onSceneStartClose(self, caller, event):
        self.happened.append("scene closes")

    def enter(self):
        self.happened.append("enter")

    def exit(self):
        self.happened.append("exit")

    def cleanup(self):
        self.happened.append("cleanup")
        self.removeObservers()


class SampleLogic(ScriptedLoadableModuleLogic):
    pass


class SampleTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("Testing the sample")
        assert SampleLogic().getParameterNode().GetAttribute("ModuleName") == "Sample"
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "made by the test")
