"""A bundle's postprocessing → how scores become labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from TransformerSegLib.bundles.component import Component, keys_of, read_transforms
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.bundles.preparation import BOOKKEEPING, META_KEYS, transform_name
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.arguments import Arguments, Flag
from TransformerSegLib.networks.file_text import quoted

PLACE = "the postprocessing"

WITHOUT_EFFECT = {"SaveImage", "EnsureType", "ToTensor", "ToDevice", "CastToType", "DeleteItems", "SelectItems"}
"""Transforms that write, move or tidy up what is finished."""

WHOLE = {"keys", "transform"}
"""Arguments that are never listed key by key."""

PREDICTION_KEY = "pred"
"""Where MONAI's evaluator puts what the network said."""


class _Activations(Arguments):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING
    softmax: Flag = False
    sigmoid: Flag = False
    other: None = None
    dim: Literal[0] = 0


class _AsDiscrete(Arguments):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING | {"dtype"}
    argmax: Flag = False
    threshold: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    to_onehot: None = None
    rounding: None = None
    dim: Literal[0] = 0
    keepdim: Flag = True


class _Invert(Arguments):
    irrelevant: ClassVar[frozenset[str]] = (
        BOOKKEEPING | META_KEYS | {"transform", "orig_keys", "orig_meta_keys", "to_tensor", "device"}
    )
    nearest_interp: Flag = True
    post_func: None = None


@dataclass
class _Chain:
    """What the transforms read so far do to the prediction."""

    activation: Activation = Activation.NONE
    labels: _AsDiscrete | None = None
    restored: _Invert | None = None
    activation_after_restoring: bool = False
    labels_before_restoring: bool = False


def read_output(postprocessing: object, preprocessing: object) -> OutputPlan:
    """How a bundle makes labels of scores.

    A bundle without ``Invertd`` leaves open how its result comes back onto the input's grid; it is then read as one
    that inverts its scores.

    Args:
        postprocessing: that part of the configuration, resolved.
        preprocessing: likewise: what ``Invertd`` may invert.

    Raises:
        BundleRejected: a transform, its arguments, or their order are not supported.
    """
    chain = _Chain()
    for component in read_transforms(postprocessing, PLACE):
        name = transform_name(component.target)
        if name in WITHOUT_EFFECT:
            continue
        arguments = _of_prediction(component)
        owner = f"the transform {quoted(component.target)}"
        match name:
            case "Activations":
                _add_activation(chain, _Activations.read(arguments, owner))
            case "AsDiscrete":
                _add_labels(chain, _AsDiscrete.read(arguments, owner))
            case "Invert":
                _add_restoring(chain, _Invert.read(arguments, owner), arguments.get("transform"), preprocessing)
            case _:
                raise _not_supported(f"asks for the transform {quoted(component.target)}")
    return _plan(chain)


def _of_prediction(component: Component) -> Mapping[str, object]:
    """The arguments with, of each that is listed key by key, the value for the prediction."""
    keys = keys_of(component) or [PREDICTION_KEY]
    if PREDICTION_KEY not in keys:
        raise _not_supported(f"applies {quoted(component.target)} to {quoted(', '.join(keys))}")
    position = keys.index(PREDICTION_KEY)
    return {
        name: value[position] if isinstance(value, list) and len(value) == len(keys) and name not in WHOLE else value
        for name, value in component.arguments.items()
    }


def _add_activation(chain: _Chain, given: _Activations) -> None:
    if chain.labels or chain.activation is not Activation.NONE or (given.softmax and given.sigmoid):
        raise _not_supported("applies an activation twice, or to labels")
    if given.softmax or given.sigmoid:
        chain.activation = Activation.SOFTMAX if given.softmax else Activation.SIGMOID
        chain.activation_after_restoring = chain.restored is not None


def _add_labels(chain: _Chain, given: _AsDiscrete) -> None:
    if chain.labels or given.argmax is (given.threshold is not None):
        raise _not_supported("makes labels otherwise than by one argmax or one threshold")
    chain.labels = given
    chain.labels_before_restoring = chain.restored is None


def _add_restoring(chain: _Chain, given: _Invert, inverted: object, preprocessing: object) -> None:
    if chain.restored:
        raise _not_supported("inverts the preprocessing twice")
    if inverted != preprocessing:
        raise _not_supported("inverts something other than the preprocessing")
    chain.restored = given


def _plan(chain: _Chain) -> OutputPlan:
    if chain.labels is None:
        raise _not_supported("does not say how scores become labels (AsDiscreted with argmax or threshold)")
    activation, threshold = chain.activation, chain.labels.threshold
    if chain.activation_after_restoring:
        activation, threshold = Activation.NONE, _threshold_of_logits(activation, threshold)
    return OutputPlan(
        activation=activation,
        threshold=threshold,
        restore_labels=chain.labels_before_restoring and chain.restored is not None,
        nearest=chain.restored is not None and chain.restored.nearest_interp,
    )


def _threshold_of_logits(activation: Activation, threshold: float | None) -> float | None:
    """The same decision without the activation: softmax keeps the order of scores, sigmoid(x) ≥ t is x ≥ logit(t)."""
    if threshold is None:
        return None
    if activation is Activation.SOFTMAX or not 0.0 < threshold < 1.0:
        raise _not_supported("takes a threshold of softmax scores after Invertd, or one outside 0…1")
    return math.log(threshold / (1.0 - threshold))


def _not_supported(what: str) -> BundleRejected:
    return BundleRejected(
        f"The bundle's postprocessing {what}, which is not supported",
        why="leaving it out would change the result",
        remedy="Use a bundle without it",
    )
