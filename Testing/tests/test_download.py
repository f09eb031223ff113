"""A file comes from a server whole and right, or not at all, whatever the server and the network do.

All of it over real sockets, against a real server on this computer.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.bundles.download import Fetched, Wanted, download
from TransformerSegLib.bundles.file_lock import is_locked, locked
from TransformerSegLib.bundles.partial_file import PartialFile, Version
from TransformerSegLib.bundles.patience import USUAL_PATIENCE, Patience
from TransformerSegLib.errors import Cancelled, DownloadFailed

from lying_server import Answer, LyingServer

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
HALF = 147_456
"""Nine blocks of the server."""

IMPATIENT = Patience(connect_seconds=2.0, read_seconds=0.3, pauses=(0.01, 0.01, 0.01), longest_pause=0.2)

LIMIT = 1_000_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[LyingServer]:
    with LyingServer(CONTENT).running() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "model.pt"


def fetch(address: str, target: Path, expected: bytes | None = CONTENT, **options) -> Fetched:
    """Download ``expected``; None: whatever comes, for no hash is known."""
    hashes = {} if expected is None else {"sha256": (sha256(expected), "was published")}
    told = options.pop("told", lambda done, total: None)
    stop = options.pop("stop", lambda: None)
    patience = options.pop("patience", IMPATIENT)
    return download(Wanted(address, options.pop("limit", LIMIT), hashes), target, told, stop, patience)


def refused(address: str, target: Path, **options) -> DownloadFailed:
    with pytest.raises(DownloadFailed) as refusal:
        fetch(address, target, **options)
    assert not target.exists()
    assert refusal.value.remedy
    return refusal.value


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


# All goes well


def test_a_file_comes_whole_and_its_bytes_are_counted(server: LyingServer, target: Path):
    told: list[tuple[int, int | None]] = []
    fetched = fetch(server.address, target, told=lambda done, total: told.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert (fetched.bytes, fetched.hashes["sha256"]) == (len(CONTENT), sha256(CONTENT))
    assert fetched.hashes["md5"] == hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert left(target) == ["model.pt"]


def test_a_file_that_is_there_and_right_is_not_fetched_again(server: LyingServer, target: Path):
    fetch(server.address, target)
    fetch(server.address, target)
    assert len(server.asked) == 1


def test_a_file_that_is_there_and_wrong_is_fetched(server: LyingServer, target: Path):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT


def test_a_redirect_is_followed(server: LyingServer, target: Path):
    server.answers.append(Answer(status=302, headers={"Location": "/elsewhere"}))
    fetch(server.address, target)
    assert server.paths == ["/models/model.pt", "/elsewhere"]


# Breaks


@pytest.mark.parametrize("stall", [False, True])
@pytest.mark.parametrize("marks", [{}, {"etag": ""}, {"modified": ""}])
def test_a_download_that_breaks_or_stalls_goes_on_where_it_stopped(
    server: LyingServer, target: Path, stall: bool, marks: dict[str, str]
):
    server.usual = Answer(**marks)
    server.answers.append(Answer(stop_after=HALF, stall=stall, **marks))
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={HALF}-"]
    assert server.sent == [HALF, len(CONTENT) - HALF]


def test_many_breaks_are_outlasted_as_long_as_each_attempt_brings_something(server: LyingServer, target: Path):
    server.usual = Answer(stop_after=32_768)
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT
    assert len(server.asked) > len(IMPATIENT.pauses) + 2
    assert sum(server.sent) == len(CONTENT)


def test_attempts_that_bring_nothing_end(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF))
    server.usual = Answer(stop_after=0)
    assert "goes on where it stopped" in refused(server.address, target).remedy
    assert len(server.asked) == len(IMPATIENT.pauses) + 1
    server.usual = Answer()
    fetch(server.address, target)
    assert server.asked[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize(
    "unmarked", [Answer(stop_after=HALF, etag="", modified=""), Answer(stop_after=HALF, etag='W/"weak"', modified="")]
)
def test_without_a_mark_of_the_file_it_begins_anew(server: LyingServer, target: Path, unmarked: Answer):
    server.answers.append(unmarked)
    fetch(server.address, target)
    assert server.asked == ["", ""]
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_gives_all_of_it_anew(server: LyingServer, target: Path):
    server.usual = Answer(ranges=False)
    server.answers.append(Answer(stop_after=HALF, ranges=False))
    fetch(server.address, target)
    assert server.asked == ["", f"bytes={HALF}-"]
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_breaks_is_given_up(server: LyingServer, target: Path):
    server.usual = Answer(stop_after=HALF, ranges=False)
    refused(server.address, target)
    assert len(server.asked) == len(IMPATIENT.pauses) + 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_server_that_is_busy_is_asked_again(server: LyingServer, target: Path, status: int):
    server.answers.extend([Answer(status=status)] * 2)
    fetch(server.address, target)
    assert len(server.asked) == 3


@pytest.mark.alone
def test_the_pause_that_a_server_asks_for_is_kept_within_bounds(server: LyingServer, target: Path):
    server.answers.append(Answer(status=503, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    fetch(server.address, target)
    assert IMPATIENT.longest_pause <= time.monotonic() - began < 5.0


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451, 599])
def test_a_server_that_has_no_such_file_is_not_asked_again(server: LyingServer, target: Path, status: int):
    server.usual = Answer(status=status)
    error = refused(server.address, target)
    assert str(status) in error.what
    assert "page of the model's makers" in error.remedy
    assert "proxy" not in error.remedy
    assert len(server.asked) == 1


def test_a_proxy_that_wants_a_password_is_named(server: LyingServer, target: Path):
    server.usual = Answer(status=407)
    error = refused(server.address, target)
    assert "The proxy says 407" in error.what
    assert "HTTPS_PROXY" in error.remedy


def test_nobody_listening_is_said(target: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}/model.pt", target)
    assert "refused" in error.what
    assert "127.0.0.1" in error.why
    assert "import the model from a file" in error.remedy


def test_no_network_is_said(target: Path):
    assert "models.invalid" in refused("http://models.invalid/model.pt", target).why


# Lies


def test_a_length_that_is_too_long_is_found_out(server: LyingServer, target: Path):
    server.answers.append(Answer(length=len(CONTENT) + 1000))
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={len(CONTENT)}-"]


def test_a_length_that_is_always_too_long_ends_in_an_error(server: LyingServer, target: Path):
    server.usual = Answer(length=len(CONTENT) + 1000, ranges=False)
    refused(server.address, target)


def test_a_length_that_is_too_short_gives_another_file_which_is_refused(server: LyingServer, target: Path):
    server.usual = Answer(length=HALF)
    assert sha256(CONTENT[:HALF]) in refused(server.address, target).what
    assert left(target) == []


def test_a_file_without_a_length_comes_whole(server: LyingServer, target: Path):
    server.usual = Answer(length=None)
    told: list[int | None] = []
    fetch(server.address, target, told=lambda done, total: told.append(total))
    assert target.read_bytes() == CONTENT
    assert set(told) == {None}


def test_an_empty_answer_is_another_file(server: LyingServer, target: Path):
    server.usual = Answer(content=b"")
    assert "is not the file that was expected" in refused(server.address, target).what
    assert left(target) == []


def test_a_length_of_more_digits_than_any_file_has_is_none(server: LyingServer, target: Path):
    digits = {"Content-Length": "9" * 5000, "Retry-After": "9" * 5000}
    server.answers.append(Answer(headers=digits))
    server.answers.append(Answer(headers={"Content-Range": f"bytes 0-9/{'9' * 5000}"}))
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT


def test_a_part_that_nobody_asked_for_is_refused(server: LyingServer, target: Path):
    server.usual = Answer(status=206, headers={"Content-Range": "bytes 9-299999/300000"})
    assert "206" in refused(server.address, target).what
    assert left(target) == []


def test_what_speaks_no_http_is_said_without_repeating_it(target: Path):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(len(IMPATIENT.pauses) + 1):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(b"\x1b[2J\x07" * 100 + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        what = refused(f"http://127.0.0.1:{listening.getsockname()[1]}/model.pt", target).what
        thread.join()
    assert "what answers there is no web server" in what
    assert what.isprintable()


def test_a_break_is_found_out_where_no_length_was_told(server: LyingServer, target: Path):
    server.answers.append(Answer(length=None, stop_after=HALF))
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={HALF}-"]


def test_wrong_bytes_without_a_length_are_refused_too(server: LyingServer, target: Path):
    server.usual = Answer(length=None, content=OTHER)
    assert sha256(OTHER) in refused(server.address, target).what
    assert left(target) == []


def test_a_file_that_changes_under_way_begins_anew(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF))
    server.usual = Answer(content=OTHER, etag='"second"', modified="Sun, 22 Nov 2026 12:00:00 GMT")
    fetch(server.address, target, expected=OTHER)
    assert target.read_bytes() == OTHER


def test_a_file_that_changes_to_another_than_the_published_one_is_refused(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF))
    server.usual = Answer(content=OTHER, etag='"second"', modified="")
    refused(server.address, target)
    assert left(target) == []


def test_other_bytes_under_the_same_mark_are_found_out_and_fetched_anew(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF))
    server.usual = Answer(content=OTHER)
    fetch(server.address, target, expected=OTHER)
    assert target.read_bytes() == OTHER
    assert server.asked == ["", f"bytes={HALF}-", ""]


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"second"'},
        {"Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT"},
        {"Content-Range": f"bytes {HALF}-299999/300001"},
        {"Content-Range": "bytes 0-299999/300000"},
        {"Content-Range": "nonsense"},
        {"Content-Range": ""},
    ],
)
def test_a_part_of_another_file_or_place_is_not_joined(server: LyingServer, target: Path, headers: dict[str, str]):
    server.answers.extend([Answer(stop_after=HALF), Answer(headers=headers)])
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={HALF}-", ""]


def test_a_file_that_got_shorter_begins_anew(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF))
    server.usual = Answer(content=OTHER[:1000])
    fetch(server.address, target, expected=OTHER[:1000])
    assert target.read_bytes() == OTHER[:1000]


def test_wrong_bytes_are_refused_with_both_hashes(server: LyingServer, target: Path):
    server.usual = Answer(content=OTHER)
    error = refused(server.address, target)
    assert sha256(OTHER) in error.what
    assert sha256(CONTENT) in error.what
    assert left(target) == []
    assert len(server.asked) == 1


def test_a_file_that_is_announced_too_large_is_not_begun(server: LyingServer, target: Path):
    assert "MB" in refused(server.address, target, limit=100_000).what
    assert left(target) == []


def test_a_file_that_turns_out_too_large_is_thrown_away(server: LyingServer, target: Path):
    server.usual = Answer(length=None)
    refused(server.address, target, limit=100_000)
    assert left(target) == []


def test_a_page_that_asks_for_a_log_in_is_no_model(server: LyingServer, target: Path):
    server.usual = Answer(content=b"<html>Welcome</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    error = refused(server.address, target, expected=None)
    assert "a page in place of the file" in error.what
    assert server.address in error.remedy
    assert left(target) == []


def test_a_page_in_the_middle_leaves_what_came(server: LyingServer, target: Path):
    server.answers.extend([Answer(stop_after=HALF), Answer(headers={"Content-Type": "text/html"})])
    refused(server.address, target)
    fetch(server.address, target)
    assert server.asked[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/model.pt", "javascript:0", "http://[::1"])
def test_a_redirect_to_what_is_no_web_server_is_refused(server: LyingServer, target: Path, place: str):
    server.usual = Answer(status=302, headers={"Location": place})
    refused(server.address, target, expected=None)
    assert len(server.asked) == 1


def test_redirects_in_a_circle_end(server: LyingServer, target: Path):
    server.usual = Answer(status=302, headers={"Location": "/round"})
    assert "redirects" in refused(server.address, target).what


def test_a_packed_answer_is_not_unpacked(server: LyingServer, target: Path):
    server.usual = Answer(headers={"Content-Encoding": "gzip"})
    fetch(server.address, target)
    assert target.read_bytes() == CONTENT


# Partial files


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        '{"address": 1, "etag": "a", "last_modified": "", "total": null}',
        '{"address": "http://elsewhere/model.pt", "etag": "\\"first\\"", "last_modified": "", "total": 300000}',
        '{"address": "ADDRESS", "etag": "", "last_modified": "", "total": 300000}',
        '{"address": "ADDRESS", "etag": "\\"first\\"", "last_modified": "", "total": 10}',
        '{"address": "ADDRESS", "etag": "\\"first\\"", "last_modified": "", "total": "many"}',
    ],
)
def test_bytes_without_a_note_that_fits_are_never_joined(server: LyingServer, target: Path, note: str | None):
    target.parent.mkdir()
    target.with_name("model.pt.part").write_bytes(OTHER[:HALF])
    if note is not None:
        target.with_name("model.pt.part.json").write_text(note.replace("ADDRESS", server.address))
    fetch(server.address, target)
    assert server.asked == [""]
    assert target.read_bytes() == CONTENT


def test_all_bytes_that_lack_their_name_only_are_not_fetched_again(server: LyingServer, target: Path):
    target.parent.mkdir()
    partial = PartialFile(target)
    partial.begin(Version(server.address, etag='"first"', total=len(CONTENT)))
    partial.add(CONTENT)
    fetch(server.address, target)
    assert server.asked == []


def test_there_are_never_bytes_with_the_note_of_another_file(tmp_path: Path):
    partial = PartialFile(tmp_path / "model.pt")
    partial.begin(Version("http://one/", etag='"1"'))
    partial.add(b"one")
    assert partial.version("http://one/")
    partial.begin(Version("http://two/", etag='"2"'))
    assert partial.size == 0
    assert json.loads((tmp_path / "model.pt.part.json").read_text())["address"] == "http://two/"


# Stopping


@pytest.mark.alone
@pytest.mark.parametrize("silent", [Answer(stop_after=HALF, stall=True), Answer(stop_after=0, stall=True)])
def test_a_stop_is_heeded_while_the_network_is_silent(server: LyingServer, target: Path, silent: Answer):
    server.usual = silent
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() - began > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch(server.address, target, patience=USUAL_PATIENCE, stop=stop)
    assert time.monotonic() - began < 2.0
    assert PartialFile(target).size == silent.stop_after


@pytest.mark.alone
def test_a_stop_is_heeded_in_a_pause(server: LyingServer, target: Path):
    server.usual = Answer(status=503)
    began = time.monotonic()

    def stop() -> None:
        if server.asked and time.monotonic() - began > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        fetch(server.address, target, patience=Patience(pauses=(60.0,)), stop=stop)
    assert time.monotonic() - began < 2.0


CHILD = """
import sys
from pathlib import Path
from TransformerSegLib.bundles.download import Wanted, download
address, target, sha256 = sys.argv[1:4]
if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
wanted = Wanted(address, 10**6, {"sha256": (sha256, "was published")})
try:
    download(wanted, Path(target), lambda done, total: None, lambda: None)
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def child(server: LyingServer, target: Path, *more: object) -> Sequence[str]:
    return [sys.executable, "-c", CHILD, server.address, str(target), sha256(CONTENT), *map(str, more)]


def test_after_a_kill_in_the_middle_only_the_rest_is_fetched(server: LyingServer, target: Path):
    server.answers.append(Answer(stop_after=HALF, stall=True))
    process = subprocess.Popen(child(server, target))
    try:
        wait_until(lambda: PartialFile(target).size == HALF)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not target.exists()
    subprocess.run(child(server, target), check=True)
    assert target.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={HALF}-"]


def wait_until(done, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no largest size there")
def test_a_full_disk_is_said_and_what_came_is_kept(server: LyingServer, target: Path):
    done = subprocess.run(child(server, target, HALF), capture_output=True, text=True, check=False)
    assert done.stderr.startswith("DownloadFailed: “model.pt” cannot be written")
    assert "goes on where it stopped" in done.stderr
    assert not target.exists()
    fetch(server.address, target)
    assert server.asked[-1] == f"bytes={HALF}-"


def test_a_file_for_which_there_is_no_room_is_not_begun(server: LyingServer, target: Path):
    server.usual = Answer(length=10**15)
    error = refused(server.address, target, limit=10**16)
    assert "are free" in error.what
    assert left(target) == []


# Proxies


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A real proxy that gives out ``CONTENT`` in the name of every server, and tells what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(503)

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_asked(target: Path, monkeypatch: pytest.MonkeyPatch, variable: str):
    with proxy() as (address, asked):
        monkeypatch.setenv(variable, address)
        fetch("http://models.invalid/model.pt", target)
    assert asked == ["http://models.invalid/model.pt"]


def test_servers_that_need_no_proxy_are_asked_directly(
    server: LyingServer, target: Path, monkeypatch: pytest.MonkeyPatch
):
    with proxy() as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch(server.address, target)
    assert asked == []
    assert len(server.asked) == 1


def test_what_is_encrypted_goes_through_a_tunnel_of_the_proxy(target: Path, monkeypatch: pytest.MonkeyPatch):
    with proxy() as (address, asked):
        monkeypatch.setenv("HTTPS_PROXY", address)
        refused("https://models.invalid/model.pt", target)
    assert asked == ["models.invalid:443"] * (len(IMPATIENT.pauses) + 1)


# Encryption


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of this computer, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("certificate")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return both


def test_the_certificates_of_the_environment_are_trusted_and_no_others(
    certificate: Path, target: Path, monkeypatch: pytest.MonkeyPatch
):
    with LyingServer(CONTENT, certificate).running() as encrypted:
        assert "certificate" in refused(encrypted.address, target).what
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        fetch(encrypted.address, target)
    assert target.read_bytes() == CONTENT


def test_a_redirect_that_gives_up_encryption_is_refused(
    certificate: Path, server: LyingServer, target: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with LyingServer(CONTENT, certificate).running() as encrypted:
        encrypted.usual = Answer(status=302, headers={"Location": server.address})
        assert "without encryption" in refused(encrypted.address, target).what


# Locks


def test_a_lock_is_held_by_one_and_waited_for_by_others(tmp_path: Path):
    path = tmp_path / "lock"
    assert not is_locked(path)

    def wait() -> None:
        raise Cancelled

    with locked(path, wait):
        assert is_locked(path)
        with pytest.raises(Cancelled), locked(path, wait):
            pass
    assert not is_locked(path)


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_file_system_without_locks_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / "lock", pytest.fail):
        assert not is_locked(tmp_path / "lock")


def test_a_killed_process_holds_no_lock(tmp_path: Path):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom TransformerSegLib.bundles.file_lock import locked\n"
        "with locked(Path(sys.argv[1]), lambda: None):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert process.stdout.readline().strip() == b"held"
    assert is_locked(tmp_path / "lock")
    os.kill(process.pid, signal.SIGTERM)
    process.wait()
    process.stdout.close()
    assert not is_locked(tmp_path / "lock")
