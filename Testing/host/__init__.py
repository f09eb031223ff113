"""A stand-in for Slicer's Qt side on PySide6, around the real MRML scene of slicer-core. See README.md."""

import sys

# PySide6 reads this while it is imported: 2 = every enum inherits from int, as PythonQt's do.
sys.pyside6_option_python_enum = 2

from host.host import Host, OpenModule  # noqa: E402

__all__ = ["Host", "OpenModule"]
