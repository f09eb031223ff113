"""One command from images to an encoder: check, pretrain, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from TransformerSegLib import __version__
from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.export.output import make_folder
from TransformerSegLib.inference.devices import choose_device
from TransformerSegLib.networks.swin_unetr import merging_told
from TransformerSegLib.training.cases import DataList
from TransformerSegLib.training.data_check import check_data
from TransformerSegLib.training.lines import Lines
from TransformerSegLib.training.needed_packages import TRAINER, refuse_missing_packages
from TransformerSegLib.training.pretrained_encoder import check_encoder_output, write_encoder
from TransformerSegLib.training.pretraining import pretrain
from TransformerSegLib.training.pretraining_recipe import PretrainingRecipe
from TransformerSegLib.training.processes import is_first, joined, number_of_processes
from TransformerSegLib.training.progress_file import ProgressFile, State
from TransformerSegLib.training.reports import Watch
from TransformerSegLib.training.run_files import PROGRESS
from TransformerSegLib.training.run_folder import alone_in


def pretrain_encoder(
    recipe: PretrainingRecipe, data: DataList, output: Path, run: Path, device: str, say: Callable[[str], None]
) -> None:
    """Pretrain an encoder and write it. ``progress.json`` in ``run`` tells what it is at.

    Of several processes that ``torchrun`` started all train, and the first alone talks and writes.

    Args:
        recipe: all settings.
        data: images; their labels are not looked at, nor is what is kept out for validation.
        output: the encoder's file, ``.safetensors``; must not exist.
        run: folder for the state, the log and the curve; a stopped run goes on from what it holds.
        device: as ``choose_device`` takes it.
        say: shows one line to the user.

    Raises:
        PackagesMissing: what trains is not installed.
        OutputRejected: ``output`` exists, or a folder cannot be written to.
        RunInUse: another process trains in ``run``.
        DeviceUnavailable: this machine has no such device.
        TrainingDataRejected: the recipe cannot be followed, an image cannot be used, or ``run`` holds another run.
        TrainingDiverged: the loss is no longer a number.
    """
    say = say if is_first() else _say_nothing
    recipe.check()
    refuse_missing_packages(TRAINER)
    check_encoder_output(output)
    device = choose_device(device).name
    images = replace(data, training=tuple(replace(case, label=None) for case in data.training), validation=())
    _refuse_other_cases(recipe, images)
    for folder in (output.absolute().parent, run):
        make_folder(folder)
    with alone_in(run, write=is_first()), ProgressFile(run / PROGRESS, write=is_first()) as progress:
        _check(images, progress, say)
        _say_what_is_done(recipe, say)
        progress.tell(state=State.TRAINING, epochs=recipe.epochs, message="Reading the images")
        lines = Lines(say)
        with joined(device) as own_device:
            network = pretrain(recipe, images, run, own_device, Watch(lines.epoch, lines.step, progress))
        if is_first():
            progress.tell(state=State.EXPORTING, message="")
            write_encoder(output, network, _record(recipe, images))
            progress.tell(state=State.DONE, output=str(output.absolute()))
    say(f"Saved {output}: start from it with “transformerseg train … --start {output}”")


def _say_nothing(line: str) -> None:
    """For all processes but the first."""


def _refuse_other_cases(recipe: PretrainingRecipe, data: DataList) -> None:
    """
    Raises:
        TrainingDataRejected: there are too few cases for a step, or they have other inputs than the network.
    """
    needed = recipe.batch * number_of_processes()
    if len(data.training) < needed:
        raise TrainingDataRejected(
            f"There are {len(data.training)} cases, and a step takes {needed}",
            why="each sub-volume of a step is of another case",
            remedy="Name a smaller --batch, or add images",
        )
    inputs = recipe.architecture.in_channels
    others = [case for case in data.training if len(case.images) != inputs]
    if others:
        raise TrainingDataRejected(
            f"“{others[0].name}” has {len(others[0].images)} images, and the network takes {inputs}",
            why="its encoder sees all of them beside each other",
            remedy="Name a model with as many inputs with --from, or a data list with all images of each case",
            details=[f"“{case.name}” has {len(case.images)}" for case in others[1:]],
        )


def _check(data: DataList, progress: ProgressFile, say: Callable[[str], None]) -> None:
    """Read all images, once; every process looks for itself, so that all end with the same error."""

    def tell(done: int, total: int) -> None:
        progress.tell(message=f"{done} of {total} cases checked")

    checked = check_data(data, None, tell, need_labels=False)
    checked.refuse()
    for remark in checked.remarks:
        say(remark)
    say(f"{len(data.training)} cases: checked")


def _say_what_is_done(recipe: PretrainingRecipe, say: Callable[[str], None]) -> None:
    first, second = (axis + 1 for axis in recipe.plane)
    say(
        f"Encoder of a Swin UNETR with {recipe.architecture.feature_size} features, patches merged "
        f"{merging_told(recipe.network)}; sub-volumes of {'×'.join(map(str, recipe.patch))} voxels, turned in the "
        f"plane of their axes {first} and {second}"
    )


def _record(recipe: PretrainingRecipe, data: DataList) -> dict[str, object]:
    """What the encoder's file says of itself."""
    return {
        "method": "Tang et al. 2022, https://arxiv.org/abs/2111.14791",
        "made_by": f"transformerseg {__version__} pretrain",
        "data": data.name,
        "licence": data.licence,
        "cases": len(data.training),
        "patches_merged": merging_told(recipe.network),
        **recipe.model_dump(mode="json"),
    }
