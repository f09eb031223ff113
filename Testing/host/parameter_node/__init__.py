"""Stand-in for ``slicer.parameterNodeWrapper``, written anew from what Slicer's own keeps on the node and does."""

from host.parameter_node.containers import ObservedDict, ObservedList
from host.parameter_node.validators import (
    Choice,
    Decimals,
    Default,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from host.parameter_node.wrapper import (
    SlicerParameterNamePropertyName,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "ObservedDict",
    "ObservedList",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]
