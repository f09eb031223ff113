"""A bundle's JSON files, read as data: references are resolved, and no expression is evaluated.

The syntax is MONAI's (https://docs.monai.io/en/stable/config_syntax.html): ``@a::b::0`` refers to another part of the
file, ``%a::b`` copies one, ``$…`` is Python code. Of the last, only what is plainly a constant is read, as data.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import EXPRESSION_SIGN, quoted

MAXIMUM_FILE_BYTES = 4 * 1024**2
"""Largest configuration file that is read; published ones have a few kilobytes. In memory it takes up to 30 times as
much."""

MAXIMUM_DIGITS = 300
"""Of a whole number; larger ones are no numbers of anything, and take long to read."""

MAXIMUM_LITERAL_CHARACTERS = 1000
"""Longest ``$`` constant that is parsed."""

MAXIMUM_PARTS = 20_000
"""Most values that one resolved part may hold: references to references multiply."""

MAXIMUM_REFERENCE_DEPTH = 50

REFERENCE = re.compile(r"\$?[@%]([\w:#]+)")
"""``@part``, ``%part`` and ``$@part``, which mean the same where nothing is built."""

NAMED_CONSTANT = re.compile(
    r"(?:monai\.utils\.(?:enums\.)?)?(?:BlendMode|GridSampleMode|GridSamplePadMode|PytorchPadMode)\.(?P<choice>[A-Z]+)"
    r"|(?:torch|np|numpy)\.(?P<type>float\d+|u?int\d+)"
)
"""Names that stand for a constant after a ``$``: MONAI takes their lower-case text for the same."""


def read_json(path: Path) -> dict[str, object]:
    """The content of a JSON file that holds one object.

    Raises:
        BundleRejected: it cannot be read, is too large, or is not such a file.
    """
    try:
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise ValueError(f"it is larger than {MAXIMUM_FILE_BYTES // 1024**2} MB")
        content = json.loads(
            path.read_text(encoding="utf-8-sig"),
            parse_constant=_refuse_constant,
            parse_int=_whole_number,
            object_pairs_hook=distinct,
        )
        if not isinstance(content, dict):
            raise ValueError("it does not hold an object")
    except RecursionError:
        raise _unreadable(path, "it is nested too deeply") from None
    except UnicodeDecodeError:
        raise _unreadable(path, "it is not text in UTF-8") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from None
    return content


def _unreadable(path: Path, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The bundle's configs/{path.name} cannot be read ({fault})",
        why="it says how the model is to be used",
        remedy="Fetch the bundle again",
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds the number {name}")


def _whole_number(digits: str) -> int:
    if len(digits) > MAXIMUM_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def distinct(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """One object of a JSON file. Readers of JSON differ in which of two values of the same name they take.

    Raises:
        ValueError: a name is in it twice.
    """
    content: dict[str, object] = {}
    for name, value in pairs:
        if name in content:
            raise ValueError(f"{quoted(name)} is in it twice")
        content[name] = value
    return content


@dataclass
class Configuration:
    """The content of ``configs/inference.json``."""

    content: Mapping[str, object]
    _parts_left: int = field(default=MAXIMUM_PARTS, init=False)

    def resolved(self, name: str) -> object:
        """The part called ``name``, with its references replaced by what they refer to.

        Plain JSON values; a text in it that begins with ``$`` is an expression that was left alone.

        Raises:
            BundleRejected: there is no such part, or a reference leads nowhere, in a circle, or out of the file.
        """
        self._parts_left = MAXIMUM_PARTS
        return self._resolve(self._look_up(name, name), 0)

    def _resolve(self, value: object, depth: int) -> object:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise _endless(f"grows to more than {MAXIMUM_PARTS} values by its references")
        if depth > MAXIMUM_REFERENCE_DEPTH:
            raise _endless("refers to itself without end")
        match value:
            case str():
                return self._resolve_text(value, depth)
            case Mapping():
                return {key: self._resolve(inner, depth + 1) for key, inner in value.items()}
            case list():
                return [self._resolve(inner, depth + 1) for inner in value]
            case _:
                return value

    def _resolve_text(self, text: str, depth: int) -> object:
        if reference := REFERENCE.fullmatch(text):
            return self._resolve(self._look_up(reference[1], text), depth + 1)
        if text.startswith("%"):
            raise BundleRejected(
                f"The bundle takes {quoted(text)} from another file",
                why="only configs/inference.json is read",
                remedy="Copy that part into configs/inference.json",
            )
        return _constant(text) if text.startswith(EXPRESSION_SIGN) else text

    def _look_up(self, identifier: str, reference: str) -> object:
        value: object = self.content
        for key in identifier.replace("#", "::").split("::"):
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and (place := _place(key)) < len(value):
                value = value[place]
            else:
                raise BundleRejected(
                    f"The bundle's configs/inference.json has no {quoted(reference)}",
                    why="it is needed to use the model",
                    remedy="Fetch the bundle again, or ask the model's makers for a complete one",
                )
        return value


def _endless(fault: str) -> BundleRejected:
    return BundleRejected(
        f"The bundle's configs/inference.json {fault}",
        why="such a file describes no model",
        remedy="Fetch the bundle again",
    )


def _place(key: str) -> float:
    """In a list; beyond the end of every list where ``key`` is no such number."""
    return int(key) if key.isdecimal() and len(key) <= MAXIMUM_DIGITS else math.inf


def _constant(expression: str) -> object:
    """What a ``$`` text says where it is plainly a constant (``literal_eval`` runs nothing); else the text itself."""
    code = expression[len(EXPRESSION_SIGN) :].strip()
    if name := NAMED_CONSTANT.fullmatch(code):
        return (name["choice"] or name["type"]).lower()
    if len(code) > MAXIMUM_LITERAL_CHARACTERS:
        return expression
    try:
        return json.loads(json.dumps(ast.literal_eval(code), allow_nan=False))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return expression
