"""A server on this computer that gives a file out as badly as servers and networks do, over real sockets."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BLOCK_BYTES = 16 * 1024

TRUE_LENGTH = -1
"""``Answer.length``: as long as it is."""


@dataclass(frozen=True)
class Answer:
    """How one request is answered.

    Attributes:
        status: of HTTP, in place of the file, where it is not 0.
        headers: added, or put in the place of others.
        content: the file's bytes; None: those of the server.
        length: that is announced, of the part that is sent; None: none is, and the connection ends with the file.
        stop_after: bytes that are sent before the connection breaks; None: all.
        stall: fall silent instead of breaking.
        ranges: give out from any byte on.
        etag, modified: that is told; "" for none.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    length: int | None = TRUE_LENGTH
    stop_after: int | None = None
    stall: bool = False
    ranges: bool = True
    etag: str = '"first"'
    modified: str = "Sat, 21 Nov 2026 12:00:00 GMT"


class LyingServer:
    """Gives a file out at every address.

    Args:
        content: of the file.
        certificate: a file with key and certificate; None: nothing is encrypted.

    Attributes:
        address: of the file.
        answers: how the next requests are answered, one each; after them, ``usual``.
        usual: how all others are.
        asked: the Range headers, request by request; "" where there was none.
        paths: that were asked for, likewise.
        sent: bytes of the file that were given out, likewise.
    """

    def __init__(self, content: bytes, certificate: Path | None = None) -> None:
        self.content = content
        self.answers: deque[Answer] = deque()
        self.usual = Answer()
        self.asked: list[str] = []
        self.paths: list[str] = []
        self.sent: list[int] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (_Handler,), {"owner": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}/models/model.pt"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @contextmanager
    def running(self) -> Iterator[LyingServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: LyingServer

    def do_GET(self) -> None:
        owner = self.owner
        answer = owner.answers.popleft() if owner.answers else owner.usual
        owner.asked.append(self.headers.get("Range", ""))
        owner.paths.append(self.path)
        owner.sent.append(0)
        with suppress(ConnectionError):
            if answer.status:
                self._head(answer.status, {"Content-Length": "0", **answer.headers})
            else:
                self._give_out(answer, len(owner.sent) - 1)

    def _give_out(self, answer: Answer, request: int) -> None:
        content = self.owner.content if answer.content is None else answer.content
        first = self._first(answer)
        if first is not None and first >= len(content):
            self._head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0", **answer.headers})
            return
        body = content[first or 0 :]
        headers = {"ETag": answer.etag, "Last-Modified": answer.modified, "Content-Type": "application/octet-stream"}
        if first is not None:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if answer.length is not None:
            headers["Content-Length"] = str(len(body) if answer.length == TRUE_LENGTH else answer.length)
        self._head(200 if first is None else 206, {**headers, **answer.headers})
        for start in range(0, len(body[: answer.stop_after]), BLOCK_BYTES):
            block = body[: answer.stop_after][start : start + BLOCK_BYTES]
            self.wfile.write(block)
            self.owner.sent[request] += len(block)
        self.wfile.flush()
        if answer.stall:
            self.owner.closing.wait()

    def _first(self, answer: Answer) -> int | None:
        """The first byte that is wanted; None where the whole file is to be given out (RFC 9110, 13.1.5)."""
        wanted, mark = self.headers.get("Range"), self.headers.get("If-Range")
        if not wanted or not answer.ranges or mark not in (None, answer.etag, answer.modified):
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass
