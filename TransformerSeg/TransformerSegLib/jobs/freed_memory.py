"""What a job has freed, given back to the system.

On Linux the C library keeps it, for each thread apart and in pieces; a run leaves tens of megabytes so, now and then.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache


def give_back() -> None:
    """Does nothing on systems whose C library does it by itself, or cannot be told to."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> ctypes._CFuncPtr | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
