"""One answer of a server, read by a thread of its own, so that a stop is heeded while the network is silent.

Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``), as the
library requests reads them.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import BadStatusLine
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from TransformerSegLib import __version__
from TransformerSegLib.bundles.fields import plain
from TransformerSegLib.bundles.patience import Patience

if TYPE_CHECKING:
    import requests

BLOCK_BYTES = 64 * 1024
"""Read at a time, at most."""

BLOCKS_AHEAD = 64
"""Read before they are asked for."""

ASKED_EVERY_SECONDS = 0.1
"""How often is asked whether to stop."""

REASON_CHARACTERS = 120
"""How much of an error is repeated: part of it may be what the server sent."""

NUMBER_DIGITS = 18
"""A number of bytes has no more."""


class Broken(Exception):
    """The connection could not be made, broke, or stalled: trying again may help.

    Args:
        reason: a few words.
        pause: seconds for which the server asks to be left alone.
    """

    def __init__(self, reason: str, *, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Unreachable(Exception):
    """The request cannot be made as it is: trying again does not help."""


@dataclass
class Answer:
    """What the server said before the content.

    Attributes:
        status: HTTP's number.
        headers: by their names, in whatever case.
        address: at which it was found in the end.
        content: its bytes, block by block; raises ``Broken`` where it ends before its announced end.
    """

    status: int
    headers: Mapping[str, str]
    address: str
    content: Iterator[bytes] = field(repr=False)

    def length(self) -> int | None:
        """Of its content, in bytes, as announced; None where that is not known."""
        return number(self.headers.get("Content-Length", ""))

    @property
    def end_is_sure(self) -> bool:
        """Whether the end of the content can be told from a connection that broke."""
        return self.length() is not None or "chunked" in self.headers.get("Transfer-Encoding", "").lower()


@contextmanager
def answer(
    address: str, headers: Mapping[str, str], patience: Patience, raise_if_cancelled: Callable[[], None]
) -> Iterator[Answer]:
    """Ask for ``address``, and follow where it leads over http and https, but never from https to http.

    Raises:
        Broken, Unreachable: see there.
        Whatever ``raise_if_cancelled`` raises, at most a moment after it would.
    """
    reading = _Reading(address, headers, patience)
    reading.start()
    try:
        blocks = reading.arrived(raise_if_cancelled)
        head = next(blocks)
        yield Answer(head.status_code, head.headers, head.url, blocks)
    finally:
        reading.stop()


class _Reading(threading.Thread):
    """Puts the response, then its blocks, then None or an error into a queue."""

    def __init__(self, address: str, headers: Mapping[str, str], patience: Patience) -> None:
        super().__init__(name="download", daemon=True)
        self._address, self._patience = address, patience
        # A server that packs the content on its way would count other bytes than those that are kept.
        self._headers = {"User-Agent": f"TransformerSeg/{__version__}", "Accept-Encoding": "identity", **headers}
        self._queue: queue.Queue = queue.Queue(BLOCKS_AHEAD)
        self._stopped = threading.Event()
        self._context = contextvars.copy_context()

    def arrived(self, raise_if_cancelled: Callable[[], None]) -> Iterator:
        while True:
            raise_if_cancelled()
            try:
                item = self._queue.get(timeout=ASKED_EVERY_SECONDS)
            except queue.Empty:
                if not self.is_alive() and self._queue.empty():
                    raise Broken("reading was ended") from None  # from outside: by an interpreter that shuts down
                continue
            if isinstance(item, Exception):
                raise item
            if item is None:
                return
            yield item

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        # What requests logs goes where the words of the thread go that asked: in Slicer, to the main thread.
        self._context.run(self._read)

    def _read(self) -> None:
        import requests

        try:
            with requests.Session() as session, self._response(session) as response:
                self._put(response)
                # What there is, without waiting for a whole block: a stall must not cost what came before it.
                read = getattr(response.raw, "read1", response.raw.read)
                while block := read(BLOCK_BYTES, decode_content=False):
                    if not self._put(block):
                        return
            self._put(None)
        except requests.exceptions.SSLError as error:
            self._put(Unreachable(f"its certificate is not accepted: {_reason(error)}"))
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, ValueError) as error:
            self._put(Unreachable(f"it leads to what is no address of a server: {_reason(error)}"))
        except requests.exceptions.TooManyRedirects as error:
            self._put(Unreachable(_reason(error)))
        except Exception as error:
            self._put(error if isinstance(error, Unreachable) else Broken(_reason(error)))

    def _response(self, session: requests.Session) -> requests.Response:
        timeout = (self._patience.connect_seconds, self._patience.read_seconds)
        response = session.get(self._address, headers=self._headers, stream=True, timeout=timeout)
        hops = [urlsplit(hop.url).scheme for hop in (*response.history, response)]
        if "http" in hops and hops[0] == "https":
            response.close()
            raise Unreachable(f"it leads from https to {urlsplit(response.url).hostname} without encryption")
        return response

    def _put(self, item: object) -> bool:
        """False where nobody waits for it any more."""
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=ASKED_EVERY_SECONDS)
            except queue.Full:
                continue
            return True
        return False


def number(text: str) -> int | None:
    """Of bytes, as a header has it; None where it is no such number."""
    return int(text) if text.isdecimal() and len(text) <= NUMBER_DIGITS else None


def _reason(error: BaseException) -> str:
    """The innermost cause, in few words."""
    while inner := _cause(error):
        error = inner
    if isinstance(error, BadStatusLine):
        return "what answers there is no web server"
    words = str(plain(getattr(error, "strerror", None) or str(error)))
    return words[:REASON_CHARACTERS] or type(error).__name__


def _cause(error: BaseException) -> BaseException | None:
    """urllib3 and requests wrap an error as an argument, as a ``reason``, or by raising from it."""
    candidates = (*error.args, getattr(error, "reason", None), error.__cause__)
    return next((cause for cause in candidates if isinstance(cause, BaseException)), None)
