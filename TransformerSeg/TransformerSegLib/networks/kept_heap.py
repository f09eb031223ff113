"""Memory that is freed and taken again, kept from going back to the system in between.

glibc gives large blocks back when they are freed, and the system hands them out again page by page, cleared: of a
network's time in bfloat16 that is a sixth. (https://man7.org/linux/man-pages/man3/mallopt.3.html)
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""What ``mallopt`` calls them."""

USUAL_TRIM_THRESHOLD, USUAL_MMAP_MAX = 128 * 1024, 65536
"""glibc's own."""

NEVER_TRIM = -1

_lock = threading.Lock()
_keepers = 0


@contextmanager
def heap_kept() -> Iterator[None]:
    """Within it, nothing goes back, in all the process; afterwards all that is free does. Does nothing on systems with
    another C library."""
    global _keepers
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _keepers += 1
        _set(library, NEVER_TRIM, 0)
    try:
        yield
    finally:
        with _lock:
            _keepers -= 1
            if not _keepers:
                _set(library, USUAL_TRIM_THRESHOLD, USUAL_MMAP_MAX)
                library.malloc_trim(0)


def _set(library: ctypes.CDLL, trim_threshold: int, mmap_max: int) -> None:
    library.mallopt(TRIM_THRESHOLD, trim_threshold)
    library.mallopt(MMAP_MAX, mmap_max)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return (
        library if all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None
    )
