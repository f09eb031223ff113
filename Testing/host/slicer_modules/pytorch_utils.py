"""Stand-in for ``PyTorchUtils``, the module of the PyTorch extension that installs torch. See ``host.packaging``."""

from __future__ import annotations

import importlib
import importlib.metadata

import slicer

from host import installing


class PyTorchUtilsLogic:
    @staticmethod
    def torchInstalled() -> bool:
        """Imports torch where it is there, as the real one does, which takes seconds."""
        try:
            importlib.metadata.version("torch")
            importlib.import_module("torch")
        except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError):
            return False
        return True

    def installTorch(
        self,
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ):
        """The module ``torch``, or None where the user declined. Raises CalledProcessError where it fails."""
        wanted = [f"torch{torchVersionRequirement or ''}", f"torchvision{torchvisionVersionRequirement or ''}"]
        if askConfirmation and not slicer.app.testingEnabled():
            written = " ".join(wanted)
            question = f"PyTorch will be downloaded and installed ({written}). The process might take some minutes."
            if not slicer.util.confirmOkCancelDisplay(question):
                return None
        installing.current().install(wanted, "PyTorchUtils")
        return importlib.import_module("torch")

    @property
    def torch(self):
        return importlib.import_module("torch") if self.torchInstalled() else self.installTorch()

    @property
    def torchVersionInformation(self) -> str:
        return f"installed version {self.torch.__version__}" if self.torchInstalled() else "not installed"

    @property
    def cuda(self) -> bool:
        return self.getDevice() != "cpu"

    def getDevice(self):
        return self.torch.device("cuda") if self.torch.cuda.is_available() else "cpu"
