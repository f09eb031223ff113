"""Memory that is freed and taken again, kept from going back to the system in between.

glibc gives large blocks back when they are freed, and the system hands them out again page by page, cleared: of a
network's time in bfloat16 that is a sixth. (https://man7.org/linux/man-pages/man3/mallopt.3.html)

This serves runs on the program's main thread, as those of the command line are: the memory of all other threads, where
a run of the panel works, comes from areas of 64 MB at most, which hold no such blocks; and so does the main thread's
once an allocation has failed.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""What ``mallopt`` calls them."""

NEVER_TRIM, NO_MAPS = -1, 0

HIGHEST_MMAP_THRESHOLD, USUAL_MMAP_MAX = 32 * 1024**2, 65536
"""glibc starts with a low threshold and raises it up to this one by itself, which ends when any of these is set: so it
is left where a program that frees large blocks comes to."""

HIGHEST_TRIM_THRESHOLD = 2 * HIGHEST_MMAP_THRESHOLD
"""glibc keeps it at that."""

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
        _set(library, {TRIM_THRESHOLD: NEVER_TRIM, MMAP_MAX: NO_MAPS})
    try:
        yield
    finally:
        with _lock:
            _keepers -= 1
            if not _keepers:
                usual = {TRIM_THRESHOLD: HIGHEST_TRIM_THRESHOLD, MMAP_THRESHOLD: HIGHEST_MMAP_THRESHOLD}
                _set(library, {**usual, MMAP_MAX: USUAL_MMAP_MAX})
                library.malloc_trim(0)


def _set(library: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        library.mallopt(parameter, value)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return (
        library if all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None
    )
