"""The Python packages that a run takes and Slicer does not have: what is missing, and how it gets installed.

Asking what is missing imports none of them. Installing is Slicer's own business, with the user's consent: PyTorch by
the extension PyTorch, which knows the graphics card, the others by Slicer's installer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from slicer.i18n import tr as _

from TransformerSegLib.errors import PackagesMissing

REQUESTER = "TransformerSeg"

PYTORCH_MODULE = "PyTorchUtils"
"""The module of the extension PyTorch that installs it."""

LEFT_ALONE = ["torch", "numpy"]
"""What Slicer's installer must not replace: the one was chosen for the graphics card, the other came with Slicer."""


class Source(Enum):
    """Where a package comes from."""

    PYTORCH_EXTENSION = "the PyTorch extension"
    PACKAGE_INDEX = "the Python Package Index"

    @property
    def title(self) -> str:
        return _("the PyTorch extension") if self is Source.PYTORCH_EXTENSION else _("the Python Package Index")


@dataclass(frozen=True)
class Requirement:
    """One package.

    Attributes:
        name: as the package index has it.
        specifier: which versions will do (">=1.5,<2").
        megabytes: about what is downloaded, with what it pulls in; PyTorch: without a graphics card.
        source: where it comes from.
        installed_version: None where there is none.
        module: as ``import`` has it; "": the name.
    """

    name: str
    specifier: str
    megabytes: int
    source: Source = Source.PACKAGE_INDEX
    installed_version: str | None = None
    module: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.specifier}"


REQUIREMENTS = (
    Requirement("torch", ">=2.8,<3", 250, Source.PYTORCH_EXTENSION),
    Requirement("monai", ">=1.5,<2", 3),
    Requirement("einops", ">=0.8", 1),
    Requirement("pydantic", ">=2.7", 3),
    Requirement("safetensors", ">=0.5", 1),
)
"""Those of ``pyproject.toml`` that a run in Slicer takes and Slicer lacks; the rest is for files and commands."""

EXPORT_REQUIREMENTS = (
    Requirement("highdicom", ">=0.27", 6),
    Requirement("pydicom", ">=3", 3),
)

TRAINING_REQUIREMENTS = (
    *REQUIREMENTS,
    Requirement("pytorch-ignite", ">=0.5", 1, module="ignite"),
    Requirement("typer", ">=0.15", 1),
    Requirement("rich", ">=13", 1),
    Requirement("nibabel", ">=5.2", 4),
    Requirement("platformdirs", ">=4", 1),
    Requirement("matplotlib", ">=3.9", 10),
    Requirement("scipy", ">=1.11", 40),
)
"""What the process that trains takes, with which the learning curve is drawn, and distances are measured."""

_PROPER_NAMES = {"torch": "PyTorch", "monai": "MONAI"}

GRAPHICS_CARD_GIGABYTES = 3
"""What PyTorch downloads at most, where there is a graphics card."""


class Packages:
    """What a run takes, and its installer. For the main thread.

    Args:
        requirements: what it takes.
        loaded_here: whether Slicer's own process loads them; else another one does, and they are only installed.
        button: what is pressed to install them.
    """

    def __init__(
        self,
        requirements: Sequence[Requirement] = REQUIREMENTS,
        *,
        loaded_here: bool = True,
        button: str = "Segment",
    ) -> None:
        self._requirements = tuple(requirements)
        self._loaded_here = loaded_here
        self._button = button
        self._complete = False

    def missing(self) -> list[Requirement]:
        """What is not there, or in a version that will not do. Imports none of them.

        Once nothing is missing, that is remembered: looking takes as long as a tenth of a small volume's run.
        """
        if self._complete:
            return []
        importlib.invalidate_caches()
        found = (replace(required, installed_version=_installed_version(required)) for required in self._requirements)
        missing = [required for required in found if not _suffices(required)]
        self._complete = not missing
        return missing

    def summary(self) -> str:
        """What would be installed and how large it is, in a few words, and what to do; empty where nothing is missing.
        ``explain`` tells the details."""
        missing = self.missing()
        if not missing:
            return ""
        first = (
            _("First install the extension PyTorch from the Extensions Manager, and restart Slicer.")
            if _needs_extension(missing)
            else _("Press Segment to install them: you are asked first.")
        )
        return "\n".join([_("Once, before the first run, Slicer has to install:"), _named(missing), first])

    def explain(self) -> str:
        """What would be installed, how large it is, and where it comes from; empty where nothing is missing."""
        missing = self.missing()
        if not missing:
            return ""
        lines = [_("TransformerSeg needs Python packages that are not in Slicer yet:")]
        lines += [f"• {_described(required)}" for required in missing]
        if _needs_extension(missing):
            lines.append(_("First install the extension PyTorch from the Extensions Manager, and restart Slicer."))
        lines.append(_("They are downloaded once, after you agreed. No image is sent anywhere."))
        return "\n".join(lines)

    def install(self) -> None:
        """Install what is missing, after asking the user, and make sure that it can be imported. May be tried again.

        Raises:
            PackagesMissing: the user declined, or something could not be installed or imported.
        """
        missing = self.missing()
        if not missing:
            return
        try:
            self._install(missing)
        except PackagesMissing as error:
            remedy = error.remedy.format(button=_(self._button))
            raise PackagesMissing(error.what, why=error.why, remedy=remedy) from error.__cause__

    def _install(self, missing: Sequence[Requirement]) -> None:
        _refuse_in_tests(missing)
        loaded = [required for required in missing if self._loaded_here and required.name in sys.modules]
        for required in missing:
            if required.source is Source.PYTORCH_EXTENSION:
                _install_pytorch(required)
        others = [required for required in missing if required.source is Source.PACKAGE_INDEX]
        if others:
            _install_others(others, self.explain())
        if left := self.missing():
            raise _incomplete(left)
        if loaded:
            raise _still_in_use(loaded)
        if self._loaded_here:
            _check_imports(missing)


def _installed_version(required: Requirement) -> str | None:
    try:
        version = importlib.metadata.version(required.name)
        return version if importlib.util.find_spec(required.module or required.name) is not None else None
    except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError):
        return None


def _suffices(required: Requirement) -> bool:
    from packaging.specifiers import SpecifierSet

    version = required.installed_version
    return version is not None and SpecifierSet(required.specifier).contains(version, prereleases=True)


def _described(required: Requirement) -> str:
    size = _("about {megabytes} MB").format(megabytes=required.megabytes)
    if required.source is Source.PYTORCH_EXTENSION:
        size = _("{size}, for a graphics card up to {gigabytes} GB").format(
            size=size, gigabytes=GRAPHICS_CARD_GIGABYTES
        )
    text = _("{package} ({size}) from {source}").format(package=required, size=size, source=required.source.title)
    if required.installed_version is None:
        return text
    return _("{text}; {version} is installed, which will not do").format(text=text, version=required.installed_version)


def _named(missing: Iterable[Requirement]) -> str:
    """ "PyTorch, MONAI, einops: about 254 MB in all"."""
    names = [_PROPER_NAMES.get(required.name, required.name) for required in missing]
    text = _("{packages}: about {megabytes} MB in all").format(
        packages=", ".join(names), megabytes=sum(required.megabytes for required in missing)
    )
    if all(required.source is not Source.PYTORCH_EXTENSION for required in missing):
        return f"{text}."
    return _("{text}, up to {gigabytes} GB with a graphics card.").format(text=text, gigabytes=GRAPHICS_CARD_GIGABYTES)


def _needs_extension(missing: Iterable[Requirement]) -> bool:
    wanted = any(required.source is Source.PYTORCH_EXTENSION for required in missing)
    return wanted and sys.modules.get(PYTORCH_MODULE) is None and importlib.util.find_spec(PYTORCH_MODULE) is None


def _install_pytorch(required: Requirement) -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise _not_installed(
            [required],
            _("the extension PyTorch, which installs it, is not there"),
            _("Install the extension PyTorch from the Extensions Manager, restart Slicer, and press {button} again"),
        ) from None
    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=required.specifier)
    except Exception as error:  # whatever light-the-torch, pip or the import of a new torch raises
        raise _failed([required], error) from error
    if torch is None:
        raise _declined([required])


def _install_others(requirements: Sequence[Requirement], explanation: str) -> None:
    import slicer

    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        if not slicer.util.confirmOkCancelDisplay(explanation):
            raise _declined(requirements) from None
        _call_installer(requirements, lambda: slicer.util.pip_install([str(required) for required in requirements]))
        return
    from packaging.requirements import Requirement as Named  # Slicer 5.11 takes no plain text

    named = [Named(str(required)) for required in requirements]
    _call_installer(requirements, lambda: pip_ensure(named, requester=REQUESTER, skip_packages=LEFT_ALONE))


def _call_installer(requirements: Sequence[Requirement], install: Callable[[], object]) -> None:
    try:
        install()
    except Exception as error:  # pip's exit code, or whatever stopped it from starting
        if isinstance(error, RuntimeError) and "declined" in str(error):  # pip_ensure's word for it
            raise _declined(requirements) from None
        raise _failed(requirements, error) from error


def _check_imports(requirements: Iterable[Requirement]) -> None:
    for required in requirements:
        try:
            importlib.import_module(required.name)
        except Exception as error:  # a library of the system that is missing, two packages that do not go together …
            raise PackagesMissing(
                _("{package} was installed, but cannot be loaded ({error})").format(
                    package=required.name, error=_first_line(error)
                ),
                why=_("a run needs it"),
                remedy=_("Restart Slicer, and press {button} again"),
            ) from error


def _refuse_in_tests(requirements: Iterable[Requirement]) -> None:
    import slicer

    if slicer.app.testingEnabled():
        raise _not_installed(
            requirements,
            _("while Slicer runs tests, nothing is installed"),
            _("Start Slicer without its testing mode, and press {button}"),
        )


def _declined(requirements: Iterable[Requirement]) -> PackagesMissing:
    return _not_installed(
        requirements,
        _("the installation was declined"),
        _("Press {button} again, and agree to the installation"),
    )


def _failed(requirements: Iterable[Requirement], error: Exception) -> PackagesMissing:
    return _not_installed(
        requirements,
        _("the installation stopped: {error}").format(error=_first_line(error)),
        _("Check the internet connection, and press {button} again"),
    )


def _incomplete(requirements: Iterable[Requirement]) -> PackagesMissing:
    return _not_installed(
        requirements,
        _("Slicer's installer ended without them"),
        _("Check the internet connection, and press {button} again"),
    )


def _still_in_use(requirements: Iterable[Requirement]) -> PackagesMissing:
    names = ", ".join(required.name for required in requirements)
    return PackagesMissing(
        _("New versions were installed, but the old ones are still in use ({names})").format(names=names),
        why=_("Python loads a package once"),
        remedy=_("Restart Slicer, and press {button} again"),
    )


def _not_installed(requirements: Iterable[Requirement], why: str, remedy: str) -> PackagesMissing:
    names = ", ".join(required.name for required in requirements)
    return PackagesMissing(
        _("Python packages are missing ({names})").format(names=names),
        why=why,
        remedy=remedy,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
