"""Checkpoints that were made to do harm: programs in the place of weights, and claims that are not true.

Each payload, if it ran, would make a canary file. They are written by hand, instruction by instruction, where Python's
own pickler would not write them.
"""

from __future__ import annotations

import importlib
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

PROTOCOL_2 = b"\x80\x02"
DOUBLED = b"q\x00h\x00\x86"
"""A pair of what lies on the stack with itself, which has twice as much in it."""

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
"""What an old file of torch's begins with."""

Program = Callable[[Path], bytes]
"""The canary → a pickle that would make it."""


def text(value: str) -> bytes:
    """Push a text."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Push an integer."""
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    """Push what a module calls by this name."""
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    """Push what the function gives."""
    return function + b"(" + b"".join(arguments) + b"tR"


def under(key: str, value: bytes) -> bytes:
    """A whole pickle: a dictionary with one value."""
    return PROTOCOL_2 + b"}" + text(key) + value + b"s."


class Called:
    """Pickles as a call."""

    def __init__(self, module: str, function: str, *arguments: object) -> None:
        self.call = (getattr(importlib.import_module(module), function), arguments)

    def __reduce__(self) -> tuple[object, ...]:
        return self.call


def touch(canary: Path) -> str:
    return f"touch '{canary}'"


def code(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w')"


def dumped(protocol: int, module: str, function: str, said: Callable[[Path], str]) -> Program:
    """As Python's pickler writes a call, beside a good tensor's name."""
    return lambda canary: pickle.dumps({"state_dict": {"w": Called(module, function, said(canary))}}, protocol)


def tensor(
    key: str = "0", numbers: int = 4, offset: int = 0, shape: tuple[int, ...] = (4,), stride: tuple[int, ...] = (1,)
) -> bytes:
    """Push a tensor, as torch writes it."""
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage(key, numbers), number(offset), sides(shape),
                sides(stride), b"\x89", call(name("collections", "OrderedDict")))  # fmt: skip


def storage(key: str, numbers: int, kind: str = "FloatStorage") -> bytes:
    """Push a reference to numbers that lie outside of the pickle."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(numbers) + b"tQ"


def sides(values: tuple[int, ...]) -> bytes:
    """Push a tuple of integers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def archive(program: bytes, **files: bytes) -> bytes:
    """A checkpoint as torch writes it since 1.6, with four float32 numbers and this pickle."""
    return packed({"data.pkl": program, "byteorder": b"little", "data/0": bytes(16), "version": b"3\n", **files})


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED, root: str = "archive/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as written:
        for file, content in files.items():
            written.writestr(root + file, content)
    return buffer.getvalue()


def old(
    program: bytes, keys: bytes = pickle.dumps(["0"], 2), stored: bytes = struct.pack("<Q", 4) + bytes(16)
) -> bytes:
    """A checkpoint as torch wrote it before 1.6."""
    return MAGIC + program + keys + stored


def saved(content: object, **options: bool) -> bytes:
    """As torch itself writes it."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


PROGRAMS: dict[str, tuple[str, Program]] = {
    # in each protocol, as Python's pickler writes them
    "protocol-0": ("asks for “posix.system”", dumped(0, "os", "system", touch)),
    "protocol-1": ("asks for “commands.getoutput”", dumped(1, "subprocess", "getoutput", touch)),
    "protocol-2": ("asks for “__builtin__.exec”", dumped(2, "builtins", "exec", code)),
    "protocol-3": ("asks for “builtins.eval”", dumped(3, "builtins", "eval", code)),
    "protocol-4": ("asks for “os.popen”", dumped(4, "os", "popen", touch)),
    "protocol-5": ("asks for “timeit.timeit”", dumped(5, "timeit", "timeit", code)),
    # by each instruction that names or makes something
    "global": ("asks for “os.execv”", lambda canary: under("w", name("os", "execv"))),
    "stack-global": (
        "asks for “builtins.compile”",
        lambda canary: b"\x80\x04}" + text("w") + text("builtins") + b"\x94" + text("compile") + b"\x94" + b"\x93s.",
    ),
    "inst": ("asks for “os.spawnlp”", lambda canary: under("w", b"(" + text(touch(canary)) + b"ios\nspawnlp\n")),
    "obj": ("asks for “pty.spawn”", lambda canary: under("w", b"(" + name("pty", "spawn") + text("sh") + b"o")),
    "newobj": (
        "asks for “subprocess.Popen”",
        lambda canary: under("w", name("subprocess", "Popen") + b"(" + text(touch(canary)) + b"t\x81"),
    ),
    "newobj-ex": (
        "asks for “multiprocessing.context.Process”",
        lambda canary: under("w", name("multiprocessing.context", "Process") + b"(t}\x92"),
    ),
    "newobj-of-an-allowed-class": (
        "uses the instruction NEWOBJ",
        lambda canary: under("w", name("torch", "Size") + b")\x81"),
    ),
    "build-setstate": (
        "asks for “functools.partial”",
        lambda canary: under("w", call(name("functools", "partial"), text("x")) + b"(" + text("y") + b"tb"),
    ),
    "build-of-an-allowed-class": (
        "gives an object an inner state",
        lambda canary: under("w", call(name("collections", "OrderedDict")) + b"}" + text("items") + text("x") + b"sb"),
    ),
    "extension": ("by its number (EXT)", lambda canary: under("w", b"\x82\x01")),
    "persistent-text": ("uses the instruction PERSID", lambda canary: under("w", b"Pos.system\n")),
    "persistent-module": (
        "outside of its pickle, and only to numbers it may",
        lambda canary: under("w", b"(" + text("module") + text(touch(canary)) + b"tQ"),
    ),
    # by way of what is allowed, or looks as if it were
    "numpy-objects": (
        "asks for “numpy._core.multiarray._reconstruct”",
        lambda canary: pickle.dumps({"w": np.array([Called("os", "system", touch(canary))], dtype=object)}, 2),
    ),
    "numpy-object-scalar": (
        "makes something with numpy.dtype of “('O8', False, True)”",
        lambda canary: under("w", call(name("numpy", "dtype"), text("O8"), b"\x89", b"\x88")),
    ),
    "numpy-type-of-all": (
        "makes something with numpy.dtype of “('f8', False, False)”",
        lambda canary: under("v", call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x89")),
    ),
    "numpy-scalar-of-no-type": (
        "makes something with numpy.core.multiarray.scalar",
        lambda canary: under("w", call(name("numpy.core.multiarray", "scalar"), text("f8"), text("x"))),
    ),
    "codec": (
        "makes something with _codecs.encode",
        lambda canary: under("w", call(name("_codecs", "encode"), text("x" * 10), text("zlib_codec"))),
    ),
    "bytearray": (
        "asks for “builtins.bytearray”",
        lambda canary: under("w", call(name("builtins", "bytearray"), number(1 << 40))),
    ),
    "getattr": (
        "asks for “builtins.getattr”",
        lambda canary: under("w", call(name("builtins", "getattr"), name("os", "path"), text("os"))),
    ),
    "dotted": (
        "asks for “torch.serialization.os.system”",
        lambda canary: under("w", name("torch.serialization", "os.system")),
    ),
    "torch-jit": (
        "asks for “torch.jit._serialization.load”",
        lambda canary: under("w", name("torch.jit._serialization", "load")),
    ),
    "torch-load-from-bytes": (
        "asks for “torch.storage._load_from_bytes”",
        lambda canary: under("w", call(name("torch.storage", "_load_from_bytes"), text("x"))),
    ),
    "torch-hub": ("asks for “torch.hub.load”", lambda canary: under("w", name("torch.hub", "load"))),
    "torch-module": ("asks for “torch.nn.modules.conv.Conv3d”", lambda canary: saved(torch.nn.Conv3d(1, 1, 1))),
    "numpy-load": ("asks for “numpy.load”", lambda canary: under("w", name("numpy", "load"))),
    "library": ("asks for “ctypes.CDLL”", lambda canary: under("w", call(name("ctypes", "CDLL"), text(str(canary))))),
    "network": ("asks for “socket.create_connection”", lambda canary: under("w", name("socket", "create_connection"))),
    "terminal-in-a-name": (
        "asks for “os. [31mred",
        lambda canary: under("w", name("os", "\x1b[31mred" + "x" * 5000)),
    ),
}
"""Name → what the refusal says, and the pickle."""


def _beside(canary: Path) -> bytes:
    return saved({"state_dict": {"w": torch.ones(4)}, "args": Called("runpy", "run_path", str(canary))})


def _in_an_old_file(canary: Path) -> bytes:
    return saved({"w": Called("shutil", "rmtree", str(canary))}, _use_new_zipfile_serialization=False)


CHECKPOINTS: dict[str, tuple[str, Program]] = {
    **{
        f"pickle-{called}": (says, lambda canary, program=program: _contained(program(canary)))
        for called, (says, program) in PROGRAMS.items()
    },
    "payload-beside-good-tensors": ("asks for “runpy.run_path”", _beside),
    "payload-in-an-old-file": ("asks for “shutil.rmtree”", _in_an_old_file),
    "payload-in-an-old-files-list": (
        "asks for “posix.execv”",
        lambda canary: old(under("w", tensor()), keys=PROTOCOL_2 + name("posix", "execv") + b"."),
    ),
    "payload-without-a-container": (
        "asks for “code.interact”",
        lambda canary: under("w", name("code", "interact")),
    ),
    # instructions without end or sense
    "deep": ("nested more than 64 deep", lambda canary: archive(PROTOCOL_2 + b"]" * 1000 + b"a" * 999 + b".")),
    "endless": ("more than 1000000 instructions", lambda canary: archive(PROTOCOL_2 + b"N0" * 600_000 + b"N.")),
    "same-container-again-and-again": (
        "makes something with torch.Size of “((((",
        lambda canary: archive(under("w", call(name("torch", "Size"), b")" + DOUBLED * 60))),
    ),
    "deep-in-an-argument": (
        "makes something with torch.device of “((((",
        lambda canary: archive(under("w", call(name("torch", "device"), b")" + b"\x85" * 5_000))),
    ),
    "long-number": ("Exceeds the limit", lambda canary: archive(PROTOCOL_2 + b"L" + b"9" * 100_000 + b"L\n.")),
    "long-number-claimed": (
        "not enough data in stream to read long4",
        lambda canary: archive(PROTOCOL_2 + b"\x8b\xff\xff\xff\x7f."),
    ),
    "long-bytes-claimed": ("in a bytes8", lambda canary: archive(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".")),
    "protocol": ("written in pickle protocol 4", lambda canary: archive(b"\x80\x04}.")),
    "nothing-on-the-stack": ("its instruction REDUCE has nothing", lambda canary: archive(PROTOCOL_2 + b"R.")),
    "nothing-remembered": ("its instruction BINGET has nothing", lambda canary: archive(PROTOCOL_2 + b"h\x07.")),
    "no-end": ("exhausted before seeing STOP", lambda canary: archive(PROTOCOL_2 + b"}")),
    "name-twice": (
        "holds “w” twice",
        lambda canary: archive(PROTOCOL_2 + b"}" + (text("w") + tensor() + b"s") * 2 + b"."),
    ),
    "names-that-are-containers": (
        "names something by “()”",
        lambda canary: archive(PROTOCOL_2 + b"}" + b")" + tensor() + b"s."),
    ),
    "wrapped-in-itself": (
        "is not a plain tensor",
        lambda canary: archive(PROTOCOL_2 + b"}q\x00" + text("model") + b"h\x00s."),
    ),
    # claims
    "long-name": (
        "the name of a tensor in it has 7000000 characters",
        lambda canary: archive(under("module." * 1_000_000, tensor())),
    ),
    "many-tensors": (
        "holds 20001 tensors",
        lambda canary: archive(
            PROTOCOL_2
            + b"}("
            + text("w")
            + tensor()
            + b"q\x00"
            + b"".join(text(str(i)) + b"h\x00" for i in range(20_000))
            + b"u."
        ),
    ),
    "fat-storage": (
        "has 80 MB, of which its tensors are 0.0 MB",
        lambda canary: old(under("w", tensor(numbers=20 << 20)), stored=struct.pack("<Q", 20 << 20) + bytes(80 << 20)),
    ),
    "huge-storage": (
        "claims 8589934592 numbers of 4 bytes",
        lambda canary: archive(under("w", tensor(numbers=1 << 33))),
    ),
    "huge-storage-in-an-old-file": (
        "claims 17179869184 numbers",
        lambda canary: old(under("w", tensor(numbers=1 << 34)), stored=struct.pack("<Q", 1 << 34) + bytes(16)),
    ),
    "old-file-counts-otherwise": (
        "claims 4 numbers of 4 bytes",
        lambda canary: old(under("w", tensor()), stored=struct.pack("<Q", 1 << 40) + bytes(16)),
    ),
    "storage-elsewhere": (
        "storage “../../../../etc/passwd”",
        lambda canary: archive(under("w", tensor(key="../../../../etc/passwd"))),
    ),
    "storage-of-two-sizes": (
        "says two things about its storage",
        lambda canary: archive(PROTOCOL_2 + b"}" + text("v") + tensor() + b"s" + text("w") + tensor(numbers=2) + b"s."),
    ),
    "tensor-spread-out": (
        "a tensor of 1048576×1048576 numbers, for which it stores 4",
        lambda canary: archive(under("w", tensor(shape=(1 << 20, 1 << 20), stride=(0, 0)))),
    ),
    "tensor-out-of-its-storage": (
        "reaches out of its storage",
        lambda canary: archive(under("w", tensor(offset=1 << 30))),
    ),
    "tensor-with-large-steps": (
        "a tensor of 2 numbers that reaches out",
        lambda canary: archive(under("w", tensor(shape=(2,), stride=(1 << 39,)))),
    ),
    "tensor-of-negative-size": (
        "with a shape that no tensor has",
        lambda canary: archive(under("w", tensor(shape=(-4,)))),
    ),
    "tensor-of-many-axes": (
        "a tensor with 300 axes",
        lambda canary: archive(under("w", tensor(shape=(1,) * 300, stride=(1,) * 300))),
    ),
    "same-numbers-many-times": (
        "the same numbers many times over",
        lambda canary: archive(
            PROTOCOL_2
            + b"}("
            + b"".join(text(f"w{i}") + tensor(numbers=1 << 14, shape=(1 << 14,)) for i in range(99))
            + b"u.",
            **{"data/0": bytes(1 << 16)},
        ),
    ),
    # kinds of tensors
    "sparse": ("holds sparse tensors", lambda canary: saved({"w": torch.eye(3).to_sparse()})),
    "quantised": (
        "holds quantised tensors",
        lambda canary: archive(under("w", name("torch._utils", "_rebuild_qtensor"))),
    ),
    "nested": (
        "holds nested tensors",
        lambda canary: archive(under("w", name("torch._utils", "_rebuild_nested_tensor"))),
    ),
    "complex": ("holds complex numbers", lambda canary: saved({"w": torch.ones(3, dtype=torch.complex64)})),
    "without-numbers": ("holds tensors without numbers", lambda canary: saved({"w": torch.ones(3, device="meta")})),
    "eight-bit-floats": (
        "holds tensors of an unusual type",
        lambda canary: saved({"w": torch.ones(3).to(torch.float8_e5m2)}),
    ),
    "texts": ("“w” in it is not a plain tensor", lambda canary: saved({"w": "a text"})),
    "nothing": ("holds no tensors by name", lambda canary: saved({})),
    # containers
    "torchscript": (
        "is a TorchScript program",
        lambda canary: archive(under("w", tensor()), **{"code/__torch__.py": b"import os"}),
    ),
    "tar": ("is a tar archive", lambda canary: b"storages".ljust(257, b"\0") + b"ustar\x0000" + bytes(1 << 10)),
    "packed-bomb": (
        "“archive/data.pkl” in it is packed to",
        lambda canary: packed({"data.pkl": bytes(64 << 20)}, zipfile.ZIP_DEFLATED),
    ),
    "packed-weights": (
        "“archive/data/0” in it is packed to",
        lambda canary: _with_packed_storage(),
    ),
    "locked": ("is locked with a password", lambda canary: _flagged(archive(under("w", tensor())))),
    "no-pickle": ("an archive without data.pkl", lambda canary: packed({"data/0": bytes(16)})),
    "another-pickle-in-capitals": (
        "have the same name but for capitals",
        lambda canary: archive(under("w", tensor()), **{"DATA.PKL": under("w", name("os", "system"))}),
    ),
    "exported-program": (
        "is an exported program (.pt2)",
        lambda canary: archive(under("w", tensor()), **{"models/model.json": b"{}"}),
    ),
    "two-folders": (
        "do not lie as torch lays them",
        lambda canary: packed({"a/data.pkl": b"", "b/data.pkl": b""}, root=""),
    ),
    "file-over-file": ("lies over another file", lambda canary: _overlapping(archive(under("w", tensor())))),
    "bytes-in-reverse": ("with their bytes in reverse", lambda canary: archive(under("w", tensor()), byteorder=b"big")),
    "archive-cut-off": ("File is not a zip file", lambda canary: archive(under("w", tensor()))[:-40]),
    "archive-with-a-huge-directory": (
        "table of contents is larger",
        lambda canary: archive(under("w", tensor()))[:-10] + struct.pack("<LLH", 1 << 31, 0, 0),
    ),
    "old-file-cut-off": (
        "claims 4 numbers of 4 bytes in its storage “0”, where 6 bytes lie",
        lambda canary: old(under("w", tensor()))[:-10],
    ),
    "old-file-with-other-storages": (
        "storages that it names are not those",
        lambda canary: old(under("w", tensor()), keys=pickle.dumps(["0", "1"], 2)),
    ),
    "old-file-with-numbered-storages": (
        "list of storages is no list of names",
        lambda canary: old(under("w", tensor()), keys=pickle.dumps([0], 2)),
    ),
    "pickle-of-something-else": ("is a pickle, but none that torch wrote", lambda canary: pickle.dumps({"w": 1}, 2)),
    "random-bytes": ("is damaged", lambda canary: np.random.default_rng(0).bytes(5000)),
    "empty-file": ("it is empty", lambda canary: b""),
    "pointer-to-large-file": (
        "is damaged",
        lambda canary: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    ),
}
"""Name → what the refusal says, and the file."""


def _contained(program: bytes) -> bytes:
    return program if program.startswith(b"PK") else archive(program)


def _with_packed_storage() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("archive/data.pkl", under("w", tensor(numbers=1 << 20)))
        written.writestr("archive/data/0", bytes(4 << 20), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _flagged(whole: bytes) -> bytes:
    """With the flag of an entry with a password in the table of contents."""
    place = whole.rindex(b"PK\1\2")
    return whole[: place + 8] + b"\1" + whole[place + 9 :]


def _overlapping(whole: bytes) -> bytes:
    """With the last entry of the table of contents where the first file lies."""
    place = whole.rindex(b"PK\1\2")
    return whole[: place + 42] + bytes(4) + whole[place + 46 :]
