"""What a pickle says, read without doing any of it.

A pickle is a program for a small machine with a stack (Python's ``pickletools`` lists its instructions). This machine
knows those instructions that torch's restricted reader knows, and only notes what they ask for: a tensor becomes a
``TensorClaim``, a number of NumPy's a ``NumPyNumber``; nothing is imported, called or given memory. So everything that
a file asks for is known, and can be refused by name, before torch reads it.
"""

from __future__ import annotations

import io
import pickletools
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from TransformerSegLib.networks.file_text import quoted

MAXIMUM_INSTRUCTIONS = 1_000_000
"""Most instructions of one pickle; the largest published checkpoints have a tenth of it."""

MAXIMUM_DEPTH = 64
"""Most containers within containers."""

MAXIMUM_AXES = 16
"""Of one tensor."""

MAXIMUM_NUMBERS = 1 << 40
"""In one tensor, far beyond what is read."""

ELEMENT_BYTES = {
    "torch.DoubleStorage": 8,
    "torch.FloatStorage": 4,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
}
"""The storages of plain tensors, and the bytes of one number in each."""

NUMPY_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
"""What makes a number of NumPy's, as NumPy 1 and 2 call it."""

NUMPY_TYPE = "numpy.dtype"

NUMPY_NUMBERS = re.compile(r"[<>=|]?(?:f[248]|[iu][1248]|b1)")
"""Types of plain numbers, as ``numpy.dtype`` takes them."""

TYPES = frozenset(f"torch.{name}" for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8"))
"""Types of numbers, which a training's settings may name."""

PLAIN_GLOBALS = frozenset(
    {
        *ELEMENT_BYTES,
        *TYPES,
        *NUMPY_SCALAR,
        NUMPY_TYPE,
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.Size",
        "torch.device",
        "collections.OrderedDict",
        "collections.Counter",
        "builtins.set",
        "_codecs.encode",
    }
)
"""All that a pickle may ask for: what plain tensors, containers and numbers are made with."""

NOT_PLAIN = {
    "torch._utils._rebuild_sparse_tensor": "sparse tensors",
    "torch._utils._rebuild_sparse_csr_tensor": "sparse tensors",
    "torch._utils._rebuild_qtensor": "quantised tensors",
    "torch._utils._rebuild_nested_tensor": "nested tensors",
    "torch._utils._rebuild_meta_tensor_no_storage": "tensors without numbers",
    "torch._utils._rebuild_wrapper_subclass": "tensors of a class of their own",
    "torch._tensor._rebuild_from_type_v2": "tensors of a class of their own",
    "torch._utils._rebuild_tensor_v3": "tensors of an unusual type",
    "torch.ComplexFloatStorage": "complex numbers",
    "torch.ComplexDoubleStorage": "complex numbers",
    "torch.QInt8Storage": "quantised tensors",
    "torch.QUInt8Storage": "quantised tensors",
    "torch.QInt32Storage": "quantised tensors",
}
"""Harmless, but nothing that the networks here are made of."""

TEXT_INSTRUCTIONS = frozenset(
    {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)


class Refused(ValueError):
    """A checkpoint is not read; the text says why, as a part of a sentence ("it asks for “os.system”, and …")."""


@dataclass(frozen=True)
class StorageClaim:
    """Numbers that lie in the checkpoint: their storage's type, key and count."""

    kind: str
    key: str
    numbers: int

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.numbers * ELEMENT_BYTES[self.kind]


@dataclass(frozen=True)
class TensorClaim:
    """A view of a storage, as ``torch.as_strided`` has it, that was found to lie within the storage."""

    storage: StorageClaim
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """What it would take by itself."""
        return prod(self.shape) * ELEMENT_BYTES[self.storage.kind]


@dataclass(frozen=True)
class NumPyNumber:
    """A number of NumPy's, e.g. the best Dice so far."""


@dataclass(frozen=True)
class Pickled:
    """What one pickle says.

    Attributes:
        content: plain containers, texts and numbers, with ``TensorClaim`` and the like in them.
        storages: that it asks for, by their keys.
    """

    content: object
    storages: Mapping[str, StorageClaim]


def read_pickle(file: io.BytesIO) -> Pickled:
    """The pickle that begins at the file's position, which is behind it afterwards.

    Raises:
        Refused: it is damaged, or asks for more than plain tensors, containers and numbers.
    """
    start = file.tell()
    _refuse_globals(_instructions(file))
    file.seek(start)
    machine = _Machine()
    for name, argument in _instructions(file):
        try:
            machine.do(name, argument)
        except Refused:
            raise
        except (LookupError, TypeError, ValueError):
            raise Refused(f"it is damaged: its instruction {name} has nothing to work on") from None
    _refuse_depth(machine.result)
    return Pickled(machine.result, machine.storages)


def _instructions(file: io.BytesIO) -> Iterator[tuple[str, object]]:
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count >= MAXIMUM_INSTRUCTIONS:
                raise Refused(f"its pickle has more than {MAXIMUM_INSTRUCTIONS} instructions")
            yield instruction.name, argument
    except Refused:
        raise
    except ValueError as error:
        raise Refused(f"it is damaged: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return quoted(str(error).partition("\n")[0])[1:-1]


def _refuse_globals(instructions: Iterator[tuple[str, object]]) -> None:
    """Refuse the first name outside of ``PLAIN_GLOBALS``, in whichever way it is asked for."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    for name, argument in instructions:
        match name:
            case "GLOBAL" | "INST":
                _refuse_global(*str(argument).split(" ", 1))
            case "STACK_GLOBAL":
                _refuse_global(*(["", *texts][-2:] if texts else ["", "something without a name"]))
            case "MEMOIZE":
                memo[len(memo)] = texts[-1] if texts else ""
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[int(str(argument))] = texts[-1] if texts else ""
            case "GET" | "BINGET" | "LONG_BINGET":
                texts = [*texts[-1:], memo.get(int(str(argument)), "")]
            case "EXT1" | "EXT2" | "EXT4":
                raise Refused("it asks for an object by its number (EXT), and a pickle is never executed")
            case _ if name in TEXT_INSTRUCTIONS:
                texts = [*texts[-1:], str(argument)]


def _refuse_global(module: str, name: str) -> None:
    known = _known_name(module, name)
    if known in NOT_PLAIN:
        raise Refused(f"it holds {NOT_PLAIN[known]}, and only plain tensors are read")
    if known not in PLAIN_GLOBALS:
        raise Refused(f"it asks for {quoted(f'{module}.{name}'.strip('.'))}, and a pickle is never executed")


def _known_name(module: str, name: str) -> str:
    """What Python 2 called otherwise, under today's name, as torch's restricted reader has it."""
    if (module, name) in NAME_MAPPING:
        return ".".join(NAME_MAPPING[module, name])
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _refuse_depth(content: object) -> None:
    level, seen = [content], set()
    for _ in range(MAXIMUM_DEPTH):
        level = [inner for outer in level if id(outer) not in seen for inner in _parts(outer, seen)]
        if not level:
            return
    raise Refused(f"its containers are nested more than {MAXIMUM_DEPTH} deep")


def _parts(value: object, seen: set[int]) -> list[object]:
    if isinstance(value, Mapping):
        seen.add(id(value))
        return list(value.values())
    if isinstance(value, list | tuple):
        seen.add(id(value))
        return list(value)
    return []


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _NumPyType:
    bytes: int


@dataclass
class _Machine:
    """The state of the machine between two instructions."""

    stack: list[object] = field(default_factory=list)
    outer_stacks: list[list[object]] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    storages: dict[str, StorageClaim] = field(default_factory=dict)
    result: object = None

    CONSTANTS: ClassVar[dict[str, object]] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
    NUMBERS_AND_TEXTS: ClassVar[set[str]] = {"BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "BINUNICODE"}

    def do(self, name: str, argument: object) -> None:
        """One instruction.

        Raises:
            Refused: it is none that plain tensors need, or asks for what they do not.
            LookupError, TypeError, ValueError: what it works on is not there.
        """
        match name:
            case "PROTO":
                _refuse_protocol(argument)
            case "STOP":
                self.result = self.stack.pop()
            case "MARK":
                self.outer_stacks.append(self.stack)
                self.stack = []
            case "BINPUT" | "LONG_BINPUT":
                self.memo[int(str(argument))] = self.stack[-1]
            case "APPEND" | "APPENDS":
                _append(self._taken(name, 1), self.stack[-1])
            case "SETITEM" | "SETITEMS":
                _set_items(self._taken(name, 2), self.stack[-1])
            case "BUILD":
                _refuse_state(self.stack.pop(), self.stack[-1])
            case _:
                pushed = self._pushed(name, argument)  # which may put back an outer stack
                self.stack.append(pushed)

    def _pushed(self, name: str, argument: object) -> object:
        match name:
            case _ if name in self.CONSTANTS:
                return self.CONSTANTS[name]
            case _ if name in self.NUMBERS_AND_TEXTS:
                return argument
            case "SHORT_BINSTRING":
                return str(argument).encode("latin-1").decode("utf-8")
            case "EMPTY_DICT":
                return {}
            case "EMPTY_LIST":
                return []
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                return tuple(self._taken(name, int(name.removeprefix("TUPLE") or 0)))
            case "BINGET" | "LONG_BINGET":
                return self.memo[int(str(argument))]
            case "GLOBAL":
                return _Global(_known_name(*str(argument).split(" ", 1)))
            case "REDUCE":
                arguments, made = self._taken(name, 2)[::-1]
                return _made(made, arguments)
            case "BINPERSID":
                return self._storage(self.stack.pop())
        raise Refused(f"its pickle uses the instruction {name}, which plain tensors do not need")

    def _taken(self, name: str, count: int) -> list[object]:
        """Off the stack: this many, or for an instruction in the plural, all since the last mark."""
        if name in ("TUPLE", "APPENDS", "SETITEMS"):
            taken, self.stack = self.stack, self.outer_stacks.pop()
            return taken
        if len(self.stack) < count:
            raise IndexError
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _storage(self, name: object) -> StorageClaim:
        match name:
            case ("storage", _Global(kind), str(key), str(), int(numbers), *view) if kind in ELEMENT_BYTES:
                claim = StorageClaim(kind, key, numbers)
            case _:
                raise Refused(f"it refers to {quoted(name)} outside of its pickle, and only to numbers it may")
        if view not in ([], [None]):
            raise Refused(f"its storage {quoted(key)} is a part of another one")
        if numbers < 0 or self.storages.setdefault(key, claim) != claim:
            raise Refused(f"it says two things about its storage {quoted(key)}")
        return claim


def _refuse_protocol(protocol: object) -> None:
    if protocol != 2:
        raise Refused(f"it is written in pickle protocol {protocol}, and torch's restricted reader reads protocol 2")


def _append(taken: list[object], target: object) -> None:
    if type(target) is not list:
        raise TypeError
    target.extend(taken)


def _set_items(taken: list[object], target: object) -> None:
    if type(target) not in (dict, OrderedDict) or len(taken) % 2:
        raise TypeError
    for key, value in zip(taken[::2], taken[1::2], strict=True):
        if not isinstance(key, str | int | float):
            raise Refused(f"it names something by {quoted(key)}, not by a text or number")
        if key in target:
            raise Refused(f"it holds {quoted(key)} twice")
        target[key] = value


def _refuse_state(state: object, owner: object) -> None:
    """``BUILD`` gives an object its inner state: a state dict its ``_metadata``, a type of NumPy's its byte order."""
    match owner, state:
        case OrderedDict(), {"_metadata": Mapping()} if len(state) == 1:
            return
        case _NumPyType(), (3, "<" | ">" | "=" | "|", None, None, None, -1, -1, 0):
            return
    raise Refused("it gives an object an inner state that plain tensors do not have")


def _made(made: object, arguments: object) -> object:
    """What calling ``made`` with ``arguments`` would give, as a claim."""
    if not isinstance(made, _Global) or not isinstance(arguments, tuple):
        raise TypeError
    match made.name, arguments:
        case "collections.OrderedDict", ():
            return OrderedDict()
        case "collections.OrderedDict", (list(pairs),):
            content: OrderedDict[object, object] = OrderedDict()
            for key, value in pairs:
                _set_items([key, value], content)
            return content
        case "collections.Counter", () | (dict(),):
            return dict(*arguments)
        case "builtins.set", (list(members),) if all(isinstance(member, str | int | float) for member in members):
            return tuple(members)
        case "torch.Size", (tuple(sides),) if _are_sizes(sides):
            return sides
        case "torch.device", (str(kind), *_):
            return kind
        case "_codecs.encode", (str(text), "latin1"):
            return text.encode("latin-1")
        case "torch._utils._rebuild_tensor", (StorageClaim(), _, tuple(), tuple()):
            return _tensor(*arguments)
        case "torch._utils._rebuild_tensor_v2", (StorageClaim(), _, tuple(), tuple(), bool(), {}, *more):
            if not arguments[5] and not any(more):
                return _tensor(*arguments[:4])
        case "torch._utils._rebuild_parameter", (TensorClaim(), bool(), {}):
            if not arguments[2]:
                return arguments[0]
        case "numpy.dtype", (str(code), False, True) if NUMPY_NUMBERS.fullmatch(code):
            return _NumPyType(int(code[-1]))
        case scalar, (_NumPyType(size), bytes(number)) if scalar in NUMPY_SCALAR and len(number) == size:
            return NumPyNumber()
    raise Refused(f"it makes something with {made.name} of {quoted(arguments)}, which is not what torch makes with it")


def _are_sizes(values: tuple[object, ...]) -> bool:
    return all(type(value) is int and 0 <= value < MAXIMUM_NUMBERS for value in values)


def _tensor(
    storage: StorageClaim, offset: object, shape: tuple[object, ...], stride: tuple[object, ...]
) -> TensorClaim:
    if len(shape) > MAXIMUM_AXES or len(shape) != len(stride):
        raise Refused(f"it holds a tensor with {len(shape)} axes, and steps along {len(stride)}")
    if not _are_sizes((offset, *shape, *stride)):
        raise Refused("it holds a tensor with a shape that no tensor has")
    claim = TensorClaim(storage, int(str(offset)), tuple(map(int, shape)), tuple(map(int, stride)))
    last = claim.offset + sum((side - 1) * step for side, step in zip(claim.shape, claim.stride, strict=True))
    shown = "×".join(map(str, claim.shape))
    if prod(claim.shape) > storage.numbers:
        raise Refused(f"it holds a tensor of {shown} numbers, for which it stores {storage.numbers}")
    if 0 not in claim.shape and last >= storage.numbers:
        raise Refused(f"it holds a tensor of {shown} numbers that reaches out of its storage of {storage.numbers}")
    return claim
