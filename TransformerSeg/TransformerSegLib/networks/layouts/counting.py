"""What several layouts read from names and shapes in the same way."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from TransformerSegLib.networks.layouts.recognised import Shapes

RATIO_DECIMALS = 6

UNUSED_SHORTCUT = "shortcut of a block that does not change the number of features"


def blocks(shapes: Shapes, pattern: str) -> int:
    """How many numbered blocks there are.

    Args:
        shapes: of a checkpoint.
        pattern: a regular expression for the beginning of a name, with the block's number as its only group.

    Example:
        >>> blocks({"blocks.0.norm.weight": (8,), "blocks.1.norm.weight": (8,)}, r"blocks\\.(\\d+)\\.")
        2
    """
    return len({match[1] for name in shapes if (match := re.match(pattern, name))})


def ratio(layers: Iterable[tuple[int, int]]) -> float:
    """The ratio that a perceptron's hidden layers were made by: the shortest decimal that gives all of them.

    Args:
        layers: (features, hidden) of each perceptron, where hidden = ⌊features · ratio⌋.

    Example:
        >>> ratio([(12, 40), (24, 81)])
        3.4
    """
    layers = list(layers)
    lowest = max(hidden / features for features, hidden in layers)
    for decimals in range(RATIO_DECIMALS + 1):
        candidate = math.ceil(lowest * 10**decimals) / 10**decimals
        if all(int(features * candidate) == hidden for features, hidden in layers):
            return candidate
    return lowest


def unused_shortcuts(shapes: Shapes) -> dict[str, str]:
    """MONAI 0.7 made the third convolution and normalisation of every residual block, and used them only where a
    block changes the number of features: the names of the others.
    """
    unused = {}
    for name, shape in shapes.items():
        if name.endswith(".conv3.conv.weight") and shape[:1] == shape[1:2]:
            block = re.escape(name.removesuffix("conv3.conv.weight"))
            unused |= {other: UNUSED_SHORTCUT for other in shapes if re.match(rf"{block}(conv|norm)3\.", other)}
    return unused
