"""Weights that are known by their hash: what their file does not say is known all the same.

Swin UNETR merges patches otherwise since MONAI 1.5, under the same names and with the same shapes. The version that a
bundle names gets raised without retraining; the hash of a published file cannot be mistaken.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from TransformerSegLib.bundles.digests import digests
from TransformerSegLib.bundles.published import FLOAT32_BYTES, published_models


def trained_with_monai(weights: Path) -> str | None:
    """The version of MONAI that known weights were trained with; None where the file is not known.

    Only a file whose size can be that of known weights is hashed, and once as long as it does not change.

    Args:
        weights: a weights file as published.
    """
    state = weights.stat()
    versions = {
        model.weights.hash_value: model.card.get("trained_with_monai")
        for model in published_models().values()
        if model.weights.hash_value
        and model.card.get("trained_with_monai")
        and model.weights.parameters * FLOAT32_BYTES <= state.st_size <= model.weights.most_bytes
    }
    if not versions:
        return None
    found = _hashes(weights.resolve(), state.st_size, state.st_mtime_ns)
    return next((str(version) for value, version in versions.items() if value in found), None)


@lru_cache(maxsize=64)
def _hashes(weights: Path, size: int, changed: int) -> frozenset[str]:
    return frozenset(digests(weights).values())
