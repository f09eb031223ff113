"""``make screenshots``: the panel in each of its states, 400 pixels wide, its result and an evaluation, as PNG.

The real module file and the real MRML scene, drawn on a stand-in for Slicer's Qt layer; the embedded model really runs.
``python Testing/screenshots [--output FOLDER] [STATE ...]`` draws only some of the states of ``states.py``. The
pictures that the README shows are written to the extension's ``Resources`` too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "demo")]

from states import STATES, draw  # noqa: E402

RESULT, DOUBT, EVALUATION = "result", "doubt", "evaluation"
PICTURES = [*STATES, RESULT, DOUBT, EVALUATION]
SHOWN_IN_README = {
    "finished": "panel.png",
    "reviewing": "review.png",
    "catalogue": "models.png",
    RESULT: "result.png",
    DOUBT: "doubt.png",
    EVALUATION: "evaluation.png",
}
CHILD = "--draw"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("screenshots"), help="folder for the pictures")
    parser.add_argument(CHILD, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("states", nargs="*", metavar="STATE", help=f"of {', '.join(PICTURES)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.states).difference(PICTURES):
        parser.error(f"no such state: {', '.join(sorted(unknown))}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.draw:
        _draw(arguments.states[0], arguments.output)
        return
    for state in arguments.states or PICTURES:
        # A process of its own, as Slicer is started anew: what one state has loaded is not there for the next.
        subprocess.run([sys.executable, __file__, CHILD, "--output", arguments.output, state], check=True)
        picture = arguments.output / f"{state}.png"
        if state in SHOWN_IN_README:
            shutil.copyfile(picture, REPOSITORY / "Resources" / SHOWN_IN_README[state])
        print(picture, flush=True)


def _draw(state: str, folder: Path) -> None:
    path = folder / f"{state}.png"
    if state == RESULT:
        _draw_result(path)
    elif state == DOUBT:
        _draw_doubt(path)
    elif state == EVALUATION:
        _draw_evaluation(path)
    else:
        draw(state, path)


def _draw_result(path: Path) -> None:
    """Slice views and 3D view of the sample volume with its segmentation."""
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.inference.reading import read_volume
    from TransformerSegLib.inference.segmenter import Segmenter
    from TransformerSegLib.resources import resources_folder

    import picture

    volume = read_volume(resources_folder() / "SampleData" / "hippocampus_297.nii.gz")
    print(picture.draw_picture(path, volume, Segmenter(find_bundle()).segment([volume])))


def _draw_doubt(path: Path) -> None:
    """Slice views of the sample volume at its first doubtful place, with the overlay."""
    from TransformerSegLib.bundles.catalogue import find_bundle
    from TransformerSegLib.inference.reading import read_volume
    from TransformerSegLib.inference.segmenter import Segmenter
    from TransformerSegLib.interaction.doubt import doubt_of
    from TransformerSegLib.interaction.score_keeper import ScoreKeeper
    from TransformerSegLib.resources import resources_folder

    import picture

    bundle = find_bundle()
    volume = read_volume(resources_folder() / "SampleData" / "hippocampus_297.nii.gz")
    keeper = ScoreKeeper(bundle.plan.output, bundle.card.classes)
    segmentation = Segmenter(bundle).segment([volume], observer=keeper)
    doubt = doubt_of(keeper.scores(), segmentation, volume.array, bundle.card)
    picture.draw_doubt_picture(path, volume, segmentation, keeper.scores(), doubt)


def _draw_evaluation(path: Path) -> None:
    """Box plots and worst case of the embedded model."""
    from evaluation_picture import draw_evaluation

    draw_evaluation(path)


if __name__ == "__main__":
    main()
