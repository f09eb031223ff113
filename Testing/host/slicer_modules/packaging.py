"""Stand-in for ``slicer.packaging``: asks and checks as Slicer's own, and installs nothing. See ``host.packaging``."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import shlex
import subprocess

import slicer
from packaging.requirements import InvalidRequirement, Requirement

from host import installing

Requirements = str | Requirement | list[str | Requirement]


def pip_check(requirements: Requirements) -> bool:
    """Whether all of them are installed, in a version that will do. Extras are not looked into."""
    return all(_is_satisfied(requirement) for requirement in _parsed(requirements))


def pip_ensure(
    requirements: Requirements,
    constraints=None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """Install what is missing, after asking. Does nothing where Slicer runs tests.

    Raises:
        RuntimeError: The user declined.
        CalledProcessError: pip failed.
    """
    missing = [requirement for requirement in _parsed(requirements) if not _is_satisfied(requirement)]
    if not missing:
        return None
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping pip_ensure for %s", missing)
        return None
    if prompt_install and not _consents(missing, requester):
        raise RuntimeError("User declined package installation")
    return pip_install(
        [str(requirement) for requirement in missing],
        constraints=constraints,
        skip_packages=skip_packages,
        show_progress=show_progress,
        requester=requester,
    )


def _consents(missing: list[Requirement], requester: str | None) -> bool:
    noun = "1 Python package needs" if len(missing) == 1 else f"{len(missing)} Python packages need"
    return slicer.util.confirmOkCancelDisplay(
        f"{noun} to be installed.\n\nThis will modify Slicer's Python environment. Continue?",
        f"{requester} - Install Python Packages" if requester else "Install Python Packages",
        detailedText="\n".join(f"- {requirement}" for requirement in missing),
    )


def pip_install(
    requirements: str | list[str],
    constraints=None,
    no_deps_requirements=None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent=None,
    logCallback=None,
    completedCallback=None,
) -> list[str] | None:
    """Raises CalledProcessError where pip fails; with a progress dialog, an error dialog has said so before."""
    if not blocking:
        raise NotImplementedError("The stand-in installs nothing in the background.")
    if skip_packages is not None and no_deps_requirements is not None:
        raise ValueError("skip_packages and no_deps_requirements are mutually exclusive.")
    written = shlex.split(requirements) if isinstance(requirements, str) else [str(each) for each in requirements]
    try:
        installing.current().install(written, "pip", tuple(skip_packages or ()))
    except subprocess.CalledProcessError as error:
        if show_progress and not slicer.app.testingEnabled():
            title = f"{requester} - Installation Failed" if requester else "Installation Failed"
            slicer.util.errorDisplay("Package installation failed.", windowTitle=title, detailedText=error.stderr)
        raise
    return None if skip_packages is None else []


def pip_uninstall(_requirements: str | list[str]) -> None:
    raise NotImplementedError("The stand-in uninstalls nothing.")


def load_requirements(path) -> list[Requirement]:
    with open(path) as file:
        lines = [line.strip() for line in file]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def isPipInstallInProgress() -> bool:
    return False


def _parsed(requirements: Requirements) -> list[Requirement]:
    if isinstance(requirements, Requirement):
        return [requirements]
    if isinstance(requirements, list):
        return [Requirement(each) if isinstance(each, str) else each for each in requirements]
    if not isinstance(requirements, str):
        raise TypeError(f"Expected str, Requirement, or list, got {type(requirements).__name__}")
    try:
        return [Requirement(requirements)]
    except InvalidRequirement:
        return [Requirement(each) for each in requirements.split()]


def _is_satisfied(requirement: Requirement) -> bool:
    importlib.invalidate_caches()
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return importlib.metadata.version(requirement.name) in requirement.specifier
    except importlib.metadata.PackageNotFoundError:
        return False
