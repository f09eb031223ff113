"""Puts the stand-ins where ``import`` and ``slicer`` find them, and takes them away again."""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import ModuleType, SimpleNamespace

import slicer

from host import ctk, parameter_node, qmrml, qt
from host.application import Application
from host.dicom_database import DicomDatabase
from host.modules import modules_of
from host.opening import ScriptedModule
from host.scene import Scene
from host.slicer_modules import i18n, packaging, pytorch_utils, sample_data, scripted_loadable_module

MODULES: dict[str, ModuleType] = {
    "qt": qt,
    "ctk": ctk,
    "slicer.ScriptedLoadableModule": scripted_loadable_module,
    "slicer.i18n": i18n,
    "slicer.packaging": packaging,
    "slicer.parameterNodeWrapper": parameter_node,
    "PyTorchUtils": pytorch_utils,
    "SampleData": sample_data,
}


class InPlace:
    """Names in ``slicer``, modules in ``sys.modules``."""

    def __init__(self, scene: Scene, testing: bool, without: Collection[str]):
        self._modules = {name: module for name, module in MODULES.items() if name not in without}
        self._names = {
            "app": Application(scene, testing),
            "modules": SimpleNamespace(sampleDataSources={}, **modules_of(scene)),
            "dicomDatabase": DicomDatabase(),
            "selfTests": {},
            "qSlicerScriptedLoadableModule": ScriptedModule,
            **{cls.__name__: cls for cls in qmrml.WIDGETS},
            **{name.removeprefix("slicer."): module for name, module in self._modules.items() if "slicer." in name},
        }
        self._pip_install = slicer.util.pip_install
        for name, thing in self._names.items():
            setattr(slicer, name, thing)
        sys.modules.update(self._modules)
        slicer.app.moduleManager().add(modules_of(scene).values())
        if "slicer.packaging" in without:  # Slicer 5.10 and older
            slicer.util.pip_install = packaging.pip_install

    def take_away(self) -> None:
        slicer.util.pip_install = self._pip_install
        slicer.app.delete_files()
        for name in self._names:
            delattr(slicer, name)
        for name in self._modules:
            sys.modules.pop(name, None)
