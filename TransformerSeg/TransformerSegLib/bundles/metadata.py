"""A bundle's ``configs/metadata.json``: what the model says of itself becomes its card."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

from pydantic import ValidationError

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.fields import BACKGROUND, OWN_BLOCK, STANDARD_FIELDS, first_input, modality, part, plain
from TransformerSegLib.bundles.plan import Plan
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.file_text import quoted

MEAN_DICE = "mean"

GOLDEN_RATIO_FRACTION = 0.618034
SATURATION = 0.62
BRIGHTNESSES = (0.95, 0.75)


def card_from_metadata(metadata: Mapping[str, object], plan: Plan, *, name: str, licence: str) -> Card:
    """The card of a bundle.

    MONAI's own fields give what they can; the block ``OWN_BLOCK``, where there is one, goes before them.

    Args:
        metadata: the content of metadata.json.
        plan: what the bundle asks for.
        name: of the bundle.
        licence: used where the metadata names none; may be empty.

    Raises:
        BundleRejected: a field is of the wrong type or out of range, or does not fit the network.
    """
    own = metadata.get(OWN_BLOCK, {})
    if not isinstance(own, Mapping):
        raise _rejected(f"“{OWN_BLOCK}” is not a block of fields")
    standard = {field: metadata[field] for field in STANDARD_FIELDS if field in metadata}
    try:
        fields = {**_told_by_monai(metadata, plan, name, licence), **standard, **own, "name": name}
        card = Card.model_validate(plain(fields))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "card"
        raise _rejected(f"{quoted(place)}: {fault['msg']}") from None
    except RecursionError:
        raise _rejected("it is nested too deeply") from None
    _check_against_network(card, plan)
    if card.slices != plan.slices:
        raise _rejected(f"its slices are {card.slices or 'none'}, and the network is given {plan.slices or 'none'}")
    return card


def _rejected(fault: str) -> BundleRejected:
    return BundleRejected(
        f"The bundle's card cannot be read ({fault})",
        why="it says what the model needs and what its classes are",
        remedy="Correct configs/metadata.json in the bundle",
    )


def _told_by_monai(metadata: Mapping[str, object], plan: Plan, name: str, licence: str) -> dict[str, object]:
    kind = modality(metadata)
    scores = part(metadata, "network_data_format", "outputs", "pred", "channel_def")
    mean_dice = part(metadata, "eval_metrics").get("mean_dice")
    return {
        "title": metadata.get("name") or metadata.get("task") or name,
        "version": "",
        "description": "",
        "inputs": _inputs(part(first_input(metadata), "channel_def"), _channels(plan, "in_channels"), kind),
        "classes": _classes(scores, _channels(plan, "out_channels"), exclusive=plan.output.threshold is None),
        "requirements": {"modality": kind},
        "training_data": metadata.get("data_source", ""),
        "licence": metadata.get("license") or licence,
        "slices": plan.slices,
        "dice": {MEAN_DICE: mean_dice} if isinstance(mean_dice, float) else {},
    }


def _channels(plan: Plan, which: str) -> int:
    return int(plan.network.arguments[which])


def _inputs(names: Mapping[str, object], channels: int, modality: str | None) -> list[dict[str, object]]:
    if channels == 1:
        return [{"name": modality or "image"}]
    spoken = [str(names.get(str(channel), f"Input {channel + 1}")) for channel in range(channels)]
    return [{"name": name, "hints": [name.lower()]} for name in spoken]


def _classes(names: Mapping[str, object], channels: int, *, exclusive: bool) -> list[dict[str, object]]:
    """One class a channel; where classes exclude each other, channel 0 is the background and labels are channels."""
    spoken = {channel: str(names.get(str(channel), f"Class {channel}")) for channel in range(channels)}
    if exclusive or spoken[0].lower() == BACKGROUND:
        del spoken[0]
    first_label = min(spoken, default=1)
    return [
        {"label": channel + (1 if first_label == 0 else 0), "channel": channel, "name": name, "color": color(position)}
        for position, (channel, name) in enumerate(spoken.items())
    ]


def color(position: int) -> tuple[float, float, float]:
    """Red, green, blue, each 0…1: distinct for the classes at different positions, and always the same for one.

    Hues a golden section of the circle apart stay far from each other however many there are.
    """
    brightness = BRIGHTNESSES[position % len(BRIGHTNESSES)]
    red, green, blue = colorsys.hsv_to_rgb(position * GOLDEN_RATIO_FRACTION % 1.0, SATURATION, brightness)
    return round(red, 3), round(green, 3), round(blue, 3)


def _check_against_network(card: Card, plan: Plan) -> None:
    inputs, outputs = _channels(plan, "in_channels"), _channels(plan, "out_channels")
    if len(card.inputs) != inputs:
        raise _rejected(f"it names {len(card.inputs)} inputs, and the network takes {inputs}")
    for segment_class in card.classes:
        if segment_class.channel >= outputs:
            raise _rejected(
                f"{quoted(segment_class.name)} is on channel {segment_class.channel}, "
                f"and the network's last channel is {outputs - 1}"
            )
