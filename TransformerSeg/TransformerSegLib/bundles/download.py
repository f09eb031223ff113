"""Fetching one file from a server, whole or not at all.

What came before a break is kept and gone on with (RFC 9110, sections 13 and 14: ``Range`` with ``If-Range``), also by
another process on another day. The file gets its name after its bytes were found to be those that were published.
"""

from __future__ import annotations

import errno
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from TransformerSegLib.bundles.copying import OnBytes
from TransformerSegLib.bundles.digests import digests
from TransformerSegLib.bundles.partial_file import PartialFile, Version
from TransformerSegLib.bundles.patience import USUAL_PATIENCE, Patience
from TransformerSegLib.bundles.server_answer import Answer, Broken, Unreachable, answer, number
from TransformerSegLib.errors import DownloadFailed
from TransformerSegLib.networks.file_text import quoted

ASKED_EVERY_SECONDS = 0.1
"""How often is asked, in a pause, whether to stop."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which trying again may help."""

CONTENT_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<total>\d+|\*)")
"""RFC 9110, 14.4."""


GO_ON = "Try again: it goes on where it stopped"
CHECK_NETWORK = "Check the network, its proxy (HTTPS_PROXY) and the address, or import the model from a file"
ASK_MAKERS = "Look at the page of the model's makers for where it is now, or import the model from a file"
"""Remedies: after a break, where the server is not reached, and where it is reached and does not give the file."""


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched.

    Attributes:
        address: http or https.
        most_bytes: a larger file is not taken.
        hashes: that its bytes must have, hexadecimal, by their kind (``digests``); each with who says so.
    """

    address: str
    most_bytes: int
    hashes: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Fetched:
    """A file that has come.

    Attributes:
        bytes: its size.
        hashes: hexadecimal, by their kind.
        in_one_piece: known to be all of one answer; else it may, where no hash tells, be pieces of two files.
    """

    bytes: int
    hashes: Mapping[str, str]
    in_one_piece: bool = False


def download(
    wanted: Wanted,
    target: Path,
    on_bytes: OnBytes,
    raise_if_cancelled: Callable[[], None],
    patience: Patience = USUAL_PATIENCE,
) -> Fetched:
    """Fetch a file to ``target``.

    Two of these must not work on one ``target`` at once: hold a lock (``file_lock``) where others may fetch it too.

    Args:
        wanted: which file.
        target: where it belongs; one that is there and right is not fetched again.
        on_bytes: told how far it is.
        raise_if_cancelled: asked several times a second; what came so far is kept where it raises.
        patience: with a network that breaks.

    Raises:
        DownloadFailed: the server cannot be reached, has no such file, gives another one, or the file cannot be
            written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            with suppress(DownloadFailed):
                return _check(wanted, target, raise_if_cancelled)
            target.unlink()
        return _Download(wanted, target, on_bytes, raise_if_cancelled, patience).run()
    except OSError as error:
        raise not_written(target, error) from None


class _Download:
    """One run: attempts until all is there, or none brings anything any more."""

    def __init__(
        self,
        wanted: Wanted,
        target: Path,
        on_bytes: OnBytes,
        raise_if_cancelled: Callable[[], None],
        patience: Patience,
    ) -> None:
        self._wanted, self._target, self._on_bytes = wanted, target, on_bytes
        self._raise_if_cancelled, self._patience = raise_if_cancelled, patience
        self._partial = PartialFile(target)
        self._furthest = self._partial.size
        self._joined = self._partial.size > 0  # of the bytes of several answers
        self._end_is_sure = True  # that the bytes that are there are all

    def run(self) -> Fetched:
        """Attempts, until all bytes are there and found right."""
        failures = 0
        while True:
            self._raise_if_cancelled()
            try:
                self._attempt()
                return self._finish()
            except Broken as broken:
                stopped = broken
            except Unreachable as unreachable:
                raise self._failed(f"The file cannot be fetched ({unreachable})", CHECK_NETWORK) from None
            if self._partial.size > self._furthest:
                failures, self._furthest = 0, self._partial.size
            if failures == len(self._patience.pauses):
                remedy = GO_ON if self._partial.size else CHECK_NETWORK
                raise self._failed(f"The download broke off ({stopped})", remedy)
            self._pause(max(self._patience.pauses[failures], min(stopped.pause, self._patience.longest_pause)))
            failures += 1

    def _finish(self) -> Fetched:
        try:
            fetched = _check(self._wanted, self._partial.path, self._raise_if_cancelled)
        except DownloadFailed:
            if not self._end_is_sure:
                raise Broken("the server does not say how long the file is, and stopped early") from None
            self._partial.delete()
            if self._joined:
                raise Broken("the file has changed between the server's answers") from None
            raise
        self._partial.finish(self._target)
        return replace(fetched, in_one_piece=self._end_is_sure and not self._joined)

    def _attempt(self) -> None:
        """Ask once, for what is missing where that can be asked for, and take what comes."""
        version = self._partial.version(self._wanted.address)
        if version and version.total == self._partial.size:
            return
        headers = {"Range": f"bytes={self._partial.size}-", "If-Range": version.mark} if version else {}
        with answer(self._wanted.address, headers, self._patience, self._raise_if_cancelled) as given:
            match given.status:
                case HTTPStatus.PARTIAL_CONTENT if version:
                    self._go_on(given, version)
                case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if version:
                    self._see_end(given)
                case HTTPStatus.OK:
                    self._begin(given)
                case status:
                    self._refuse(given, status)

    def _begin(self, given: Answer) -> None:
        """The whole file comes."""
        self._check_kind(given)
        total = given.length()
        self._check_room(total or 0, total or 0)
        tag = given.headers.get("ETag", "")
        version = Version(
            self._wanted.address,
            etag="" if tag.startswith("W/") else tag,
            last_modified=given.headers.get("Last-Modified", ""),
            total=total,
        )
        self._partial.begin(version)
        self._joined, self._end_is_sure = False, given.end_is_sure
        self._take(given, total)

    def _go_on(self, given: Answer, version: Version) -> None:
        """The rest of the file comes."""
        self._check_kind(given)
        place = CONTENT_RANGE.fullmatch(given.headers.get("Content-Range", ""))
        total = (number(place["total"]) if place else None) or version.total
        there = version.etag, version.last_modified, version.total
        told = given.headers.get("ETag"), given.headers.get("Last-Modified"), total
        same = all(new == old for new, old in zip(told, there, strict=True) if new and old)
        if not same or not place or place["first"] != str(self._partial.size):
            self._partial.delete()
            raise Broken("the file on the server has changed")
        self._check_room(total or 0, (total or 0) - self._partial.size)
        self._joined, self._end_is_sure = True, given.end_is_sure
        self._take(given, total)

    def _see_end(self, given: Answer) -> None:
        """The server has nothing after what is there: all of it is there, or it is another file."""
        place = CONTENT_RANGE.fullmatch(given.headers.get("Content-Range", ""))
        if not place or place["total"] != str(self._partial.size):
            self._partial.delete()
            raise Broken("the file on the server has changed")
        self._end_is_sure = True

    def _take(self, given: Answer, total: int | None) -> None:
        self._on_bytes(self._partial.size, total)
        size = self._partial.size
        for block in given.content:
            self._raise_if_cancelled()
            size += len(block)
            if size > self._wanted.most_bytes:
                self._partial.delete()
                raise self._too_large(size)
            self._partial.add(block)
            self._on_bytes(size, total)
        if total is not None and size != total:
            raise Broken(f"{size} bytes of {total} came")

    def _check_kind(self, given: Answer) -> None:
        """A page in place of the file is what a network gives that wants a log-in first."""
        if given.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            raise DownloadFailed(
                f"{urlsplit(given.address).hostname} sent a page in place of the file",
                why="a network that asks for a log-in does so, and so does a server that no longer has the file",
                remedy=f"Open {self._wanted.address} in a browser: log in where it asks for that, and try again",
            )

    def _check_room(self, total: int, missing: int) -> None:
        if total > self._wanted.most_bytes:
            raise self._too_large(total)
        free = shutil.disk_usage(self._target.parent).free
        if missing > free:
            raise OSError(errno.ENOSPC, f"{missing / 1e6:.0f} MB are missing, {free / 1e6:.0f} MB are free")

    def _refuse(self, given: Answer, status: int) -> None:
        if status in PASSING:
            after = number(given.headers.get("Retry-After", ""))
            raise Broken(f"the server says {_spoken(status)}", pause=float(after or 0))
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise self._failed(f"The proxy says {_spoken(status)}", CHECK_NETWORK)
        raise self._failed(f"The server says {_spoken(status)}", ASK_MAKERS)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._raise_if_cancelled()
            time.sleep(min(left, ASKED_EVERY_SECONDS))

    def _failed(self, what: str, remedy: str) -> DownloadFailed:
        return DownloadFailed(
            what, why=f"the file is fetched from {urlsplit(self._wanted.address).hostname}", remedy=remedy
        )

    def _too_large(self, size: int) -> DownloadFailed:
        return DownloadFailed(
            f"The file on the server has {size / 1e6:.0f} MB or more",
            why=f"the published one has less than {self._wanted.most_bytes / 1e6:.0f} MB",
            remedy="Look at the page of the model's makers for where it is now",
        )


def _check(wanted: Wanted, path: Path, raise_if_cancelled: Callable[[], None]) -> Fetched:
    """Hold a file to the hashes that it must have.

    Raises:
        DownloadFailed: it has others.
    """
    found = digests(path, raise_if_cancelled)
    for kind, (value, who) in wanted.hashes.items():
        if found[kind] != value:
            raise DownloadFailed(
                f"What came from {urlsplit(wanted.address).hostname} is not the file that was expected ({kind} is "
                f"{found[kind]}, and {value} {who})",
                why="it was changed or damaged on its way, or its makers replaced it; it was deleted",
                remedy="Try again later; if it stays so, ask the model's makers",
            )
    return Fetched(path.stat().st_size, found)


def not_written(target: Path, error: OSError) -> DownloadFailed:
    """The error for a file, or a folder, that cannot be written."""
    return DownloadFailed(
        f"{quoted(target.name)} cannot be written ({error.strerror or error})",
        why=f"what is fetched is kept in {target.parent}",
        remedy="Make room on that disk, or choose another folder for the models; the download goes on where it stopped",
    )


def _spoken(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
