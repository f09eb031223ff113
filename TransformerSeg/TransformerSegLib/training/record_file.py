"""A record from its JSON file: a recipe, a card."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from TransformerSegLib.errors import TrainingDataRejected

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, record: type[Record], what: str) -> Record:
    """Read one record.

    Args:
        path: of a JSON file.
        record: its kind.
        what: how an error calls it ("recipe").

    Raises:
        TrainingDataRejected: the file is missing, not JSON, or says something that such a record cannot say.
    """
    try:
        return record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TrainingDataRejected(
            f"The {what} “{path}” cannot be read",
            why=error.strerror or str(error),
            remedy=f"Name a folder that holds {path.name}",
        ) from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise TrainingDataRejected(
            f"The {what} “{path}” cannot be used",
            why=f"{place}: {fault['msg']}" if place else fault["msg"],
            remedy=f"Correct “{place or path.name}”",
        ) from error
