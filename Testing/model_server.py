"""A published model, and the server that gives it out: a real one, on this computer."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from TransformerSegLib.bundles.layout import CONFIGURATION
from TransformerSegLib.bundles.published import CATALOGUE_FORMAT
from TransformerSegLib.bundles.reading import read_bundle

BLOCK_BYTES = 32 * 1024


class ModelServer:
    """Gives one file out at every address, from any byte on.

    Attributes:
        address: of the file.
        asked: the first byte that was asked for, answer by answer.
        faults: what goes wrong with the next answers, one each: a status in place of the file, or, negative, after
            how many bytes the connection breaks.
        seconds_per_block: what a slow network takes for ``BLOCK_BYTES``.
        held_from: the byte before which the network falls silent, until this is None.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[int] = []
        self.faults: deque[int] = deque()
        self.seconds_per_block = 0.0
        self.held_from: int | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (_Handler,), {"model": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/models/weights"

    def close(self) -> None:
        self.seconds_per_block, self.held_from = 0.0, None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    model: ModelServer

    def do_GET(self) -> None:
        model, wanted = self.model, self.headers.get("Range", "bytes=0-")
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        model.asked.append(first)
        fault = model.faults.popleft() if model.faults else 0
        if fault > 0:
            self.send_error(fault)
            return
        self.send_response(206 if "Range" in self.headers else 200)
        size = len(model.content)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - first))
        self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("ETag", f'"{hashlib.sha256(model.content).hexdigest()}"')
        self.end_headers()
        with suppress(OSError):  # who asked has gone
            for at in range(first, first - fault if fault else size, BLOCK_BYTES):
                while model.held_from is not None and at >= model.held_from:
                    time.sleep(0.02)
                self.wfile.write(model.content[at : at + BLOCK_BYTES])
                time.sleep(model.seconds_per_block)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@contextmanager
def published(bundle: Path, catalogue: Path, licence: str = "Apache-2.0") -> Iterator[ModelServer]:
    """A bundle's weights on a server, and a catalogue that lists the model.

    Args:
        bundle: a folder as ``write_bundle`` writes them; its name is the model's.
        catalogue: is written.
        licence: its title; it restricts where it says "NC".
    """
    read = read_bundle(bundle)
    content = read.weights.read_bytes()
    server = ModelServer(content)
    entry = {
        "name": bundle.name,
        "page": server.address,
        "weights": {
            "address": server.address,
            "file": str(read.weights.relative_to(read.folder).as_posix()),
            "member": None,
            "bytes": len(content),
            "parameters": len(content) // 4,
            "hash": {"type": "md5", "value": hashlib.md5(content, usedforsecurity=False).hexdigest()},
        },
        "licence": {"title": licence, "restricting": "NC" in licence, "address": server.address, "data": ""},
        "card": read.card.model_dump(mode="json", exclude={"name", "licence"}),
        "configuration": json.loads((bundle / CONFIGURATION).read_text(encoding="utf-8")),
        "sources": {},
    }
    catalogue.write_text(json.dumps({"format": CATALOGUE_FORMAT, "models": [entry]}), encoding="utf-8")
    try:
        yield server
    finally:
        server.close()
