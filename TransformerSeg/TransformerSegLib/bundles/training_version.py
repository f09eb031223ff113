"""With which version of MONAI a bundle's weights were trained, as far as anything tells it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from TransformerSegLib.bundles.fields import OWN_BLOCK, part
from TransformerSegLib.bundles.known_weights import trained_with_monai
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.swin_unetr import is_before_change

NAMED_VERSION = re.compile(r"\bmonai\s*(?:version\s*)?(?:to\s+|=+\s*)?v?(\d+\.\d+(?:\.\d+)*)", re.IGNORECASE)
"""How a changelog names a version ("update to use monai 1.3.1", "verify MONAI 1.0.1")."""


def training_version(metadata: Mapping[str, object], weights: Path) -> str | None:
    """The version of MONAI that the weights were trained with; None where nothing tells it.

    The hash of known weights goes first; then what the bundle says of its training in our own block; then its
    ``monai_version``, which gets raised without retraining, and is believed where nothing speaks against it.

    Args:
        metadata: the content of metadata.json.
        weights: the bundle's weights file.

    Raises:
        BundleRejected: the ``monai_version`` was raised across the change of patch merging, so that the weights have
            two meanings.
    """
    own = part(metadata, OWN_BLOCK).get("trained_with_monai")
    version = trained_with_monai(weights) or own
    if version is None:
        version = metadata.get("monai_version")
        _refuse_raised(version, metadata.get("changelog"))
    return version if isinstance(version, str) else None


def _refuse_raised(version: object, changelog: object) -> None:
    """A changelog that names a version before the change shows weights that are older than the last version."""
    if not isinstance(version, str) or not re.match(r"\d+\.\d+", version) or is_before_change(version):
        return
    entries = changelog.values() if isinstance(changelog, Mapping) else ()
    named = [found for entry in entries if isinstance(entry, str) for found in NAMED_VERSION.findall(entry)]
    earlier = next((found for found in named if is_before_change(found)), None)
    if earlier is not None:
        raise BundleRejected(
            f"The bundle names MONAI {version}, and its changelog MONAI {earlier}: which of them trained it?",
            why="MONAI 1.5 changed how Swin UNETR merges patches, so the weights have two meanings",
            remedy=f"Enter the version that trained them as “trained_with_monai” in the block “{OWN_BLOCK}” of the "
            "bundle's configs/metadata.json",
        )
