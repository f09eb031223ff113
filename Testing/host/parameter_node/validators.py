"""What may stand beside a type in ``Annotated[...]``: limits that a value is held to, and a default."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Validator(ABC):
    @abstractmethod
    def validate(self, value) -> None:
        """Raises ValueError or TypeError."""


class NotNone(Validator):
    def validate(self, value) -> None:
        if value is None:
            raise ValueError("Value must not be None")


@dataclass(frozen=True)
class IsInstance(Validator):
    """None passes."""

    classtype: Any

    def validate(self, value) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', not {value!r}")


@dataclass(frozen=True)
class Choice(Validator):
    choices: Any

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclass(frozen=True)
class Minimum(Validator):
    minimum: float

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is below {self.minimum}")


@dataclass(frozen=True)
class Maximum(Validator):
    maximum: float

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is above {self.maximum}")


@dataclass(frozen=True)
class WithinRange(Validator):
    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass(frozen=True)
class Default:
    """``Annotated[str, Default("auto")]``; a generator makes a new value each time."""

    given: Any = None
    generator: Callable[[], Any] | None = None

    @property
    def value(self):
        return self.generator() if self.generator is not None else self.given


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float
