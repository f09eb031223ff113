"""What an imported network is given and what becomes of its scores: from a recipe, and what a user says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from TransformerSegLib.bundles.card import InputChannel
from TransformerSegLib.bundles.import_network import Question
from TransformerSegLib.bundles.import_options import ImportOptions, intensity_step
from TransformerSegLib.bundles.plan import Activation, NetworkPlan, OutputPlan, Plan, SlicePlan, WindowPlan
from TransformerSegLib.bundles.recipes import (
    RECIPES,
    SLICE_ORIENTATIONS,
    ImportRecipe,
    named_inputs,
    official_recipe,
)
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.registry import architecture_for

ACTIVATIONS = ("softmax", "sigmoid")
MODALITIES = ("CT", "MR")

RECIPE_QUESTION = Question(
    "how the images were prepared",
    f"--recipe {'|'.join(RECIPES)}",
    "No official trainer has such a network. Name the one whose preparation the training followed, or --recipe plain "
    "with --intensity, --spacing and --orientation as they stand in the training's settings",
)

INPUTS_QUESTION = Question(
    "which volumes the network takes",
    "--inputs NAME,NAME,…",
    "Name {channels} volumes in the order of the network's channels, for example --inputs FLAIR,T1ce,T1,T2",
)


@dataclass(frozen=True)
class Preparing:
    """How an imported network's images are prepared.

    Attributes:
        recipe: with the user's changes in it.
        assumed: empty, or a sentence that says what was taken for granted.
    """

    recipe: ImportRecipe
    assumed: str = ""


def chosen(
    architecture: str, arguments: Mapping[str, object], options: ImportOptions
) -> tuple[Preparing, tuple[Question, ...]]:
    """The recipe for a network, and what has to be asked of it.

    Args:
        architecture: its name in the registry.
        arguments: of the network; its channels are among them.
        options: of the user.

    Raises:
        CheckpointRejected: an option has a value that it cannot have.
    """
    _check_choices(options)
    channels, classes = int(str(arguments["in_channels"])), int(str(arguments["out_channels"]))
    recipe = RECIPES.get(options.recipe) or official_recipe(architecture, channels, classes)
    if not options.recipe and recipe and options.modality not in ("", recipe.modality):
        recipe = None  # the official network of such a shape is one for other images
    questions = []
    if recipe is None and not options.intensity:
        questions.append(RECIPE_QUESTION)
    official = recipe if recipe is not None and not options.recipe else None
    recipe = _changed(recipe or RECIPES["plain"], options, slices=architecture_for(architecture).axes == 2)
    recipe = replace(recipe, inputs=_inputs(recipe, options, channels))
    if not recipe.inputs:
        hint = INPUTS_QUESTION.hint.format(channels=channels)
        questions.append(replace(INPUTS_QUESTION, hint=hint))
    sentence = ""
    if official is not None:
        said = "" if official.told() == recipe.told() else ", but for what was said at the import"
        sentence = f"The preparation is assumed: {recipe.told()}, as in {recipe.source}{said}"
    return Preparing(recipe, sentence), tuple(questions)


def plan_for(architecture: Architecture, preparing: Preparing, options: ImportOptions, *, exclusive: bool) -> Plan:
    """What the bundle asks of the engine.

    Args:
        architecture: of the network.
        preparing: how its images are.
        options: of the user.
        exclusive: its classes exclude each other (softmax, argmax), else each has a threshold of ½ (sigmoid).

    Raises:
        CheckpointRejected: the network takes no windows of the size that the user gave.
    """
    recipe = preparing.recipe
    sides = _sides(architecture, recipe, options)
    if fault := architecture.window_fault(sides):
        raise CheckpointRejected(
            f"A window of {'×'.join(map(str, sides))} voxels does not suit the network ({fault})",
            why="volumes are segmented window by window",
            remedy="Correct --image-size",
        )
    output = OutputPlan() if exclusive else OutputPlan(Activation.SIGMOID, threshold=0.5)
    window: WindowPlan | SlicePlan
    if architecture.axes == 2:
        # as the official test code: labels are made in the network's slices, and come back as labels
        window, output = SlicePlan(sides), replace(output, restore_labels=True, nearest=True)
    else:
        window = WindowPlan(sides, overlap=(recipe.overlap,) * 3, weighting=recipe.weighting)
    network = NetworkPlan(architecture.name, architecture.model_dump(mode="json", exclude_unset=True))
    return Plan(network, recipe.preparation, window, output)


def _check_choices(options: ImportOptions) -> None:
    for option, value, choices in (
        ("--recipe", options.recipe, tuple(RECIPES)),
        ("--activation", options.activation, ACTIVATIONS),
        ("--modality", options.modality, MODALITIES),
        ("--slices", options.slices, tuple(SLICE_ORIENTATIONS)),
    ):
        if value and value not in choices:
            raise CheckpointRejected(
                f"{option} {quoted(value)} is not known",
                why=f"it is one of {', '.join(choices)}",
                remedy=f"Correct {option}",
            )
    axes = options.orientation.translate(str.maketrans("LPI", "RAS"))
    if options.orientation and sorted(axes) != sorted("RAS"):
        raise CheckpointRejected(
            f"--orientation {quoted(options.orientation)} is not understood",
            why="it has one letter for each axis: R or L, A or P, S or I",
            remedy="Write for example --orientation RAS",
        )


def _changed(recipe: ImportRecipe, options: ImportOptions, *, slices: bool) -> ImportRecipe:
    """The recipe with what the user says otherwise."""
    changes: dict[str, object] = {}
    if options.orientation:
        changes["orientation"] = options.orientation
    elif slices and (options.slices or recipe.name != "synapse"):
        changes["orientation"] = SLICE_ORIENTATIONS[options.slices or "axial"]
    if options.spacing_mm is not None:
        given = options.spacing_mm
        changes["spacing_mm"] = given * 3 if len(given) == 1 else given or None
    if options.intensity:
        changes["intensity"] = intensity_step(options.intensity)
    if options.modality:
        changes["modality"] = options.modality
    return replace(recipe, **changes)


def _inputs(recipe: ImportRecipe, options: ImportOptions, channels: int) -> tuple[InputChannel, ...]:
    """As many as the network has channels; empty where nobody tells them."""
    if options.inputs:
        if len(options.inputs) != channels or len(set(options.inputs)) != channels:
            raise CheckpointRejected(
                f"--inputs names {len(set(options.inputs))} volumes",
                why=f"the network takes {channels}",
                remedy="Name each of them once, in the order of the network's channels",
            )
        return named_inputs(options.inputs)
    if len(recipe.inputs) == channels and (channels > 1 or not options.modality):
        return recipe.inputs
    name = recipe.modality or "image"
    return (InputChannel(name=name, hints=(name.lower(),)),) if channels == 1 else ()


def _sides(architecture: Architecture, recipe: ImportRecipe, options: ImportOptions) -> tuple[int, ...]:
    """Of what the network sees at once, voxels."""
    built_for = getattr(architecture, "img_size", None) or options.image_size or recipe.window
    if isinstance(built_for, int):
        return (built_for,) * architecture.axes
    return tuple(built_for) * (architecture.axes if len(built_for) == 1 else 1)
