"""A lock that processes hold on a file's place: the system gives it back however its holder ends."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ASKED_EVERY_SECONDS = 0.2
"""How often a lock that somebody else holds is asked for."""

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What network file systems without locks answer: there nobody can be kept out, and nobody waits for ever."""


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock at ``path``, alone of all processes, and of all that hold it in this one.

    The file stays: were it deleted, two could hold the lock, each on a file of its own.

    Args:
        path: of a file for this lock alone; made where it is missing, with its folder.
        on_wait: called while somebody else holds it; may raise, and then it is not waited for any longer.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _taken(descriptor):
            on_wait()
            time.sleep(ASKED_EVERY_SECONDS)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at ``path`` now. Asked twice: another may be asking too, which takes a moment."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR)
    try:
        if _taken(descriptor):
            return False
        time.sleep(ASKED_EVERY_SECONDS)
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock if it is free, or if the file system has no locks. It is given back with the descriptor."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True
