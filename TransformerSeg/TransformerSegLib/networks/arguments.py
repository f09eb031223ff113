"""Arguments that come from a file: checked one by one before anything is built from them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import EXPRESSION_SIGN, quoted

UNION_BRANCH = re.compile(r"constrained-.*|.*\[.*|tuple|list|int|float|str|bool|none")
"""What pydantic puts into the place of a fault beside the names of fields and the numbers of values."""


def _spelled_out_true(value: object) -> object:
    # Published bundles write "True". "False" stays refused: MONAI takes it, a text that is not empty, for true.
    return True if value in ("True", "true") else value


Flag = Annotated[bool, BeforeValidator(_spelled_out_true)]


class Arguments(BaseModel):
    """The arguments of one part of a bundle. Fields carry MONAI's names; what is not a field is refused.

    Attributes:
        irrelevant: names of arguments that do not change the result here, and are left unread.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    irrelevant: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def read(cls, arguments: Mapping[str, object], owner: str) -> Self:
        """Check ``arguments``, plain JSON values.

        Args:
            arguments: as they stand in the file, references resolved.
            owner: what they belong to, for the error ("the transform “Spacingd”").

        Raises:
            BundleRejected: an argument is unknown, of the wrong type, out of range, missing, or an expression.
        """
        relevant = {name: value for name, value in arguments.items() if name not in cls.irrelevant}
        for name, value in relevant.items():
            refuse_expressions(value, f"the argument “{name}” of {owner}")
        try:
            return cls.model_validate_json(json.dumps(relevant))
        except (ValidationError, RecursionError) as error:
            raise BundleRejected(
                f"The bundle gives {owner} arguments that are not supported ({_first_fault(error)})",
                why="leaving them out would change the result",
                remedy="Ask the model's makers for a bundle without them",
            ) from None


def refuse_expressions(value: object, where: str) -> None:
    """Raises:
    BundleRejected: ``value``, or anything in it, is an expression.
    """
    if isinstance(value, str) and value.startswith(EXPRESSION_SIGN):
        raise BundleRejected(
            f"The bundle needs the Python expression {quoted(value)} for {where}",
            why="code from a bundle is never run",
            remedy="Replace it by its value in the bundle's configs/inference.json",
        )
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        refuse_expressions(part, where)


def _first_fault(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "they are nested too deeply"
    # Where a field takes one number or several, the fault that lies deepest is that of the form which was meant.
    fault = max(error.errors(include_url=False), key=lambda fault: len(fault["loc"]))
    place = ".".join(str(part) for part in fault["loc"] if not UNION_BRANCH.fullmatch(str(part))) or "together"
    match fault["type"]:
        case "missing":
            return f"{quoted(place)} is missing"
        case "extra_forbidden":
            return f"{quoted(place)} is not known"
        case "value_error":
            message = fault["msg"].removeprefix("Value error, ")
            return f"{quoted(place)}: {message}" if fault["loc"] else message
        case _:
            return f"{quoted(place)} is {quoted(fault['input'])}: {fault['msg'].rstrip('.')}"
