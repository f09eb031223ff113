"""What a worker logs, warns of and prints reaches nobody in its own thread.

Slicer's log handlers, and what it has for standard output, make Qt objects in the thread that calls them, which only
the main thread may do. So, while at least one thread is diverted, logging, warnings and the two streams ask who calls:
a diverted thread's words are turned into plain data and posted; those of all other threads take their usual way.
A thread that a diverted one starts is diverted too where it runs in that one's context (``contextvars``).
"""

from __future__ import annotations

import copy
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MethodType

from TransformerSegLib.jobs.inbox import Emission

Post = Callable[[Emission], None]

_STREAMS = ("stdout", "stderr")

_LOCK = threading.Lock()
_post: ContextVar[Post | None] = ContextVar("_post", default=None)
"""Where the words of this thread go; None: their usual way."""

_diverted_threads = 0


@contextmanager
def diverted(post: Post) -> Iterator[None]:
    """Post what this thread says, instead of saying it.

    Logging, warnings and the streams are as they were once no thread is diverted; what someone else has put into
    their places meanwhile stays.
    """
    global _diverted_threads
    with _LOCK:
        _divert()
        _diverted_threads += 1
    usual = _post.set(post)
    try:
        yield
    finally:
        _post.reset(usual)
        with _LOCK:
            _diverted_threads -= 1
            if not _diverted_threads:
                _restore()


@dataclass(frozen=True)
class Logged:
    """A record whose message is put together, and whose traceback is text."""

    logger: logging.Logger
    record: logging.LogRecord

    def emit(self) -> None:
        self.logger.handle(self.record)


@dataclass(frozen=True)
class Warned:
    """A warning that passed the filters."""

    message: Warning | str
    category: type[Warning]
    filename: str
    lineno: int
    line: str | None

    def emit(self) -> None:
        warnings.showwarning(self.message, self.category, self.filename, self.lineno, None, self.line)


@dataclass(frozen=True)
class Printed:
    """Text for sys.stdout or sys.stderr."""

    stream: str
    text: str

    def emit(self) -> None:
        stream = getattr(sys, self.stream)
        if stream is not None:
            stream.write(self.text)


class _Stream(io.TextIOBase):
    """What a diverted thread finds in place of sys.stdout or sys.stderr."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, post: Post) -> None:
        super().__init__()
        self.name = f"<{name}>"
        self._name = name
        self._post = post

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text:
            self._post(Printed(self._name, text))
        return len(text)


class _Switch:
    """Stands in for sys.stdout or sys.stderr: each thread sees its own through it."""

    def __init__(self, name: str, everyone_else: object) -> None:
        self._name = name
        self.everyone_else = everyone_else

    def __getattr__(self, attribute: str) -> object:
        post = _post.get()
        return getattr(self.everyone_else if post is None else _Stream(self._name, post), attribute)


_switches: dict[tuple[str, int], _Switch] = {}
"""One for each stream that was ever replaced, by its name and its id, and never let go: Python's ``print`` only borrows
the stream that it writes to (github.com/python/cpython/issues/130163), and one that was destroyed meanwhile, because a
job ended in another thread, takes the whole program with it."""


class _Gate:
    """Stands in for a function: diverted threads call another one instead."""

    def __init__(self, function: Callable[..., None], diverted_function: Callable[..., None]) -> None:
        self.function = function
        self._diverted_function = diverted_function

    def __call__(self, *arguments, **named) -> None:
        post = _post.get()
        if post is None:
            self.function(*arguments, **named)
        else:
            self._diverted_function(post, *arguments, **named)

    def __get__(self, instance: object, owner: type | None = None) -> Callable[..., None]:
        return self if instance is None else MethodType(self, instance)


def _divert() -> None:
    if not isinstance(logging.Logger.handle, _Gate):
        logging.Logger.handle = _Gate(logging.Logger.handle, _post_record)
    if not isinstance(warnings.showwarning, _Gate):
        warnings.showwarning = _Gate(warnings.showwarning, _post_warning)
    for name in _STREAMS:
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Switch):
            setattr(sys, name, _switches.setdefault((name, id(stream)), _Switch(name, stream)))


def _restore() -> None:
    if isinstance(logging.Logger.handle, _Gate):
        logging.Logger.handle = logging.Logger.handle.function
    if isinstance(warnings.showwarning, _Gate):
        warnings.showwarning = warnings.showwarning.function
    for name in _STREAMS:
        stream = getattr(sys, name)
        if isinstance(stream, _Switch):
            setattr(sys, name, stream.everyone_else)


def _post_record(post: Post, logger: logging.Logger, record: logging.LogRecord) -> None:
    plain = copy.copy(record)
    try:
        plain.msg = record.getMessage()
    except Exception:  # as logging itself does with arguments that do not fit their message: the program goes on
        plain.msg = f"{record.msg} {record.args}"
    plain.args = None
    if record.exc_info:
        plain.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
        plain.exc_info = None
    post(Logged(logger, plain))


def _post_warning(
    post: Post,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    post(Warned(message, category, filename, lineno, line))
