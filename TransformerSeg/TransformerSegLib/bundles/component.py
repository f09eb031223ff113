"""One part of a bundle's configuration that names what it is by ``_target_``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.arguments import refuse_expressions
from TransformerSegLib.networks.file_text import quoted

COMPOSE_TARGETS = {"Compose", "monai.transforms.Compose", "monai.transforms.compose.Compose"}

COMPOSE_ARGUMENTS = {"transforms", "map_items", "unpack_items", "log_stats", "lazy", "threading"}
"""Of ``Compose``: none of them changes the result, rounding apart."""


SYNTAX = {"_target_", "_disabled_", "_mode_", "_desc_", "_requires_"}
"""What is no argument of a component but says how MONAI builds it. ``_requires_`` is what it runs before."""


@dataclass(frozen=True)
class Component:
    """What is to be built, and with which arguments: nothing but text and numbers here.

    Attributes:
        target: MONAI's name of it, e.g. "Spacingd" or "monai.transforms.Spacingd".
        arguments: plain JSON values, references resolved.
    """

    target: str
    arguments: Mapping[str, object]


def read_component(value: object, where: str) -> Component | None:
    """The component that ``value`` describes; None where it is switched off.

    Args:
        value: from a resolved configuration.
        where: its place, for the error ("the preprocessing").

    Raises:
        BundleRejected: it is no component, or its kind can only be told by running code.
    """
    refuse_expressions(value if isinstance(value, str) else None, where)
    target = value.get("_target_") if isinstance(value, Mapping) else None
    refuse_expressions(target, f"the kind (_target_) of {where}")
    if not isinstance(target, str):
        raise BundleRejected(
            f"The bundle does not say what {where} is made of",
            why="it is described by the name under “_target_”",
            remedy="Fetch the bundle again, or ask the model's makers for a complete one",
        )
    refuse_expressions(value.get("_disabled_"), f"the switch (_disabled_) of {where}")
    arguments = {name: argument for name, argument in value.items() if name not in SYNTAX}
    if value.get("_mode_", "default") != "default" or not isinstance(value.get("_disabled_", False), bool):
        raise BundleRejected(
            f"The bundle builds {quoted(target)} in {where} in a way that is not supported",
            why="only components that are plainly switched on or off are read",
            remedy="Remove “_mode_” and “_disabled_” from it in configs/inference.json",
        )
    return None if value.get("_disabled_", False) else Component(target, arguments)


def keys_of(component: Component) -> list[str]:
    """The items of MONAI's data that a dictionary transform works on; empty for an array transform.

    Raises:
        BundleRejected: they are not names.
    """
    keys = component.arguments.get("keys", [])
    keys = keys if isinstance(keys, list) else [keys]
    refuse_expressions(keys, f"the keys of {quoted(component.target)}")
    if not all(isinstance(key, str) for key in keys):
        raise BundleRejected(
            f"The bundle gives {quoted(component.target)} the keys {quoted(keys)}",
            why="keys are names",
            remedy="Correct configs/inference.json in the bundle",
        )
    return keys


def read_transforms(value: object, where: str) -> Iterator[Component]:
    """The transforms of a ``Compose``, or of a list, one after the other.

    Raises:
        BundleRejected: as ``read_component``; or ``Compose`` has an argument that is not known.
    """
    if isinstance(value, list):
        for inner in value:
            yield from read_transforms(inner, where)
        return
    component = read_component(value, where)
    if component is None:
        return
    if component.target not in COMPOSE_TARGETS:
        yield component
        return
    for name in component.arguments:
        if name not in COMPOSE_ARGUMENTS:
            raise BundleRejected(
                f"The bundle gives Compose in {where} the argument {quoted(name)}",
                why="leaving it out would change the result",
                remedy="Ask the model's makers for a bundle without it",
            )
    yield from read_transforms(component.arguments.get("transforms", []), where)
