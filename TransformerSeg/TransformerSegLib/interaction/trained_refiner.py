"""A trained refinement read from its file: safetensors and a card, nothing that could be executed."""

from __future__ import annotations

import hashlib
import logging
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import RefinerDamaged
from TransformerSegLib.resources import resources_folder

if TYPE_CHECKING:
    import torch

    from TransformerSegLib.interaction.refiner_card import RefinerCard

SHIPPED = resources_folder() / "Interaction" / "refiner.safetensors"

MOST_BYTES = 10**6
"""Its weights take 72 kB."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainedRefiner:
    """A network, and what is known of it."""

    network: torch.nn.Module
    card: RefinerCard


def refiner_at_hand() -> TrainedRefiner | None:
    """The one that ships with the library.

    Returns:
        None before PyTorch is loaded, which takes longer than a click, and where it cannot be used, which is noted.
    """
    return _shipped() if "torch" in sys.modules else None


@cache
def _shipped() -> TrainedRefiner | None:
    try:
        found = read_refiner(SHIPPED)
    except (RefinerDamaged, ImportError) as fault:
        _logger.warning("%s", fault)
        return None
    warm_up(found.network)
    return found


def warm_up(network: torch.nn.Module) -> None:
    """So that the first click is as fast as the others: PyTorch prepares its convolutions for each size of an input."""
    import torch

    from TransformerSegLib.inference.threads import one_thread
    from TransformerSegLib.interaction.refiner_module import MAPS
    from TransformerSegLib.interaction.refining import MOST_CLASSES, VOXELS_EACH_WAY, added_by

    size = 2 * VOXELS_EACH_WAY + 1
    with one_thread():  # as clicks are computed
        for classes in range(2, MOST_CLASSES + 1):
            added_by(network, torch.zeros(classes, MAPS, size, size, size))


def read_refiner(path: Path) -> TrainedRefiner:
    """A trained ``Refiner``.

    Args:
        path: of its weights; the card lies beside them.

    Raises:
        RefinerDamaged: a file is missing, is not what it should be, or is not that of the other.
    """
    import torch
    from pydantic import ValidationError
    from safetensors import SafetensorError
    from safetensors.torch import load

    from TransformerSegLib.interaction.refiner_card import RefinerCard, card_path
    from TransformerSegLib.interaction.refiner_module import Refiner

    network = Refiner()
    try:
        card = RefinerCard.model_validate_json(card_path(path).read_bytes())
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
        if hashlib.sha256(content).hexdigest() != card.sha256:
            raise _damaged(path, "its weights are others than its card tells of")
        network.load_state_dict(load(content))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (ValidationError, SafetensorError, RuntimeError, ValueError) as error:
        raise _damaged(path, "its files are not of the kind that is read here") from error
    return TrainedRefiner(network.eval().to(memory_format=torch.channels_last_3d), card)


def _damaged(path: Path, why: str) -> RefinerDamaged:
    return RefinerDamaged(
        f"The learned step of corrections, “{path.name}”, cannot be used",
        why=f"{why}; clicks are answered without it",
        remedy="Install TransformerSeg again",
    )
