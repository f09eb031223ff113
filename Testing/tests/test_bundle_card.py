"""What a bundle's metadata says becomes the model's card."""

from __future__ import annotations

from pathlib import Path

import pytest

from TransformerSegLib.bundles.card import Card, Code, Figure, InputChannel, Requirements, SegmentClass
from TransformerSegLib.bundles.fields import OWN_BLOCK
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.bundles.plan import Activation, OutputPlan
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.template import bundle_metadata
from TransformerSegLib.errors import BundleRejected

from bundle_factory import change_json, write_bundle, write_json

HIPPOCAMPUS = Code(scheme="SCT", value="5366008", meaning="Hippocampus")
LEFT = Code(scheme="SCT", value="7771000", meaning="Left")


def metadata_of(folder: Path) -> Path:
    return folder / "configs" / "metadata.json"


def channels(*names: str) -> dict[str, str]:
    return {str(channel): name for channel, name in enumerate(names)}


def a_class(**changes: object) -> dict[str, object]:
    return {"label": 1, "channel": 1, "name": "x", "color": [0, 0, 0]} | changes


def plain_metadata(folder: Path, **fields: object) -> Path:
    """As the Model Zoo writes it: no block of our own."""
    formats = {
        "inputs": {"image": {"modality": "MRI", "channel_def": channels("T1c", "T1")}},
        "outputs": {"pred": {"channel_def": channels("background", "oedema", "core")}},
    }
    metadata = {"version": "0.2", "monai_version": "1.6.1", "task": "Tumours", "network_data_format": formats}
    write_json(metadata_of(folder), metadata | fields)
    return folder


def test_a_card_that_is_written_is_read_back(tmp_path: Path):
    folder = write_bundle(tmp_path / "hippocampus", inputs=("T1", "T2"))
    bundle = read_bundle(folder)
    card = Card(
        name="hippocampus",
        title="Hippocampus in MR",
        version="1.2.3",
        description="Left hippocampus, in two parts.",
        inputs=(InputChannel(name="T1", hints=("t1", "mprage")), InputChannel(name="T2")),
        classes=(
            SegmentClass(label=7, channel=2, name="Anterior", color=(0.1, 0.2, 0.3), type=HIPPOCAMPUS, modifier=LEFT),
            SegmentClass(label=3, channel=1, name="Posterior", color=(1.0, 0.0, 0.5)),
        ),
        requirements=Requirements(modality="MR", spacing_mm=(0.5, 2.0), field_of_view_mm=(20.0, 300.0)),
        training_data="Two hundred cases.",
        licence="CC-BY-SA 4.0",
        dice={"Anterior": 0.88, "Posterior": 0.86},
        dice_data="57 unseen cases",
        limits=("No children.", "No tumours."),
        references=("arXiv:1902.09063",),
        intended_use="For tests.",
        trained_with_monai="1.4.0",
    )
    write_json(metadata_of(folder), bundle_metadata(card, bundle.plan))
    assert read_bundle(folder).card == card


def test_what_rounds_to_nought_has_no_sign():
    assert Figure(mean=-0.0014, low=-0.051, high=0.049, cases=21, digits=2).in_words() == "0.00 [-0.05, 0.05]"


def test_the_metadata_of_a_published_bundle_makes_a_card(tmp_path: Path):
    folder = plain_metadata(
        write_bundle(tmp_path / "brats", inputs=("a", "b")),
        data_source="BraTS 2018",
        eval_metrics={"mean_dice": 0.85},
        references=["arXiv:1810.11654"],
    )
    card = read_bundle(folder).card
    assert (card.name, card.title, card.version) == ("brats", "Tumours", "0.2")
    assert card.inputs == (InputChannel(name="T1c", hints=("t1c",)), InputChannel(name="T1", hints=("t1",)))
    assert [(c.label, c.channel, c.name) for c in card.classes] == [(1, 1, "oedema"), (2, 2, "core")]
    assert card.requirements == Requirements(modality="MR")
    assert (card.training_data, card.licence, card.dice) == ("BraTS 2018", "Apache-2.0", {"mean": 0.85})


def test_classes_that_overlap_have_no_background(tmp_path: Path):
    folder = write_bundle(tmp_path / "b", classes=("a", "b", "c"), output=OutputPlan(Activation.SIGMOID, 0.5))
    card = read_bundle(plain_metadata(folder, network_data_format={})).card
    assert [(c.label, c.channel, c.name) for c in card.classes] == [
        (1, 0, "Class 0"),
        (2, 1, "Class 1"),
        (3, 2, "Class 2"),
    ]


def test_generated_colors_are_distinct_and_always_the_same():
    colors = [color(position) for position in range(132)]
    assert len(set(colors)) == 132
    assert colors == [color(position) for position in range(132)]


def test_texts_lose_what_would_act_on_a_terminal(tmp_path: Path):
    folder = plain_metadata(write_bundle(tmp_path / "b", inputs=("a", "b")), description="\x1b[31mred\u202e\n\n text")
    assert read_bundle(folder).card.description == "[31mred text"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"description": {"a": 1}}, "description"),
        ({"references": "one text"}, "references"),
        ({OWN_BLOCK: []}, "not a block"),
        ({OWN_BLOCK: {"surprise": 1}}, "surprise"),
        ({OWN_BLOCK: {"requirements": {"modality": "PET"}}}, "requirements.modality"),
        ({OWN_BLOCK: {"classes": []}}, "classes"),
        ({OWN_BLOCK: {"classes": [a_class(channel=9)]}}, "channel 9"),
        ({OWN_BLOCK: {"classes": [a_class(label=0)]}}, "label"),
        ({OWN_BLOCK: {"classes": [a_class(color=[0, 0, 7])]}}, "color"),
        ({OWN_BLOCK: {"classes": [a_class(), a_class(channel=2)]}}, "two classes have the same label"),
        ({OWN_BLOCK: {"classes": [a_class(), a_class(label=2)]}}, "two classes have the same channel"),
        ({OWN_BLOCK: {"inputs": [{"name": "only"}]}}, "names 1 inputs, and the network takes 2"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(tmp_path: Path, fields: dict[str, object], words: str):
    folder = plain_metadata(write_bundle(tmp_path / "b", inputs=("a", "b")), **fields)
    with pytest.raises(BundleRejected, match="card cannot be read") as refusal:
        read_bundle(folder)
    assert words in refusal.value.what


def test_deep_nesting_in_the_metadata_is_refused(tmp_path: Path):
    folder = write_bundle(tmp_path / "b")
    metadata_of(folder).write_text('{"monai_version": "1.6", "description": ' + "[" * 900 + "]" * 900 + "}")
    with pytest.raises(BundleRejected, match="cannot be read"):
        read_bundle(folder)


def test_the_cards_own_word_on_the_training_monai_goes_before_the_bundles(tmp_path: Path):
    folder = write_bundle(
        tmp_path / "b", architecture="SwinUNETR", network={"feature_size": 12, "downsample": "merging"}
    )
    change_json(metadata_of(folder), monai_version="1.5.0", **{OWN_BLOCK: None})
    assert read_bundle(folder).plan.network.arguments["downsample"] == "merging"
    change_json(metadata_of(folder), **{OWN_BLOCK: {"trained_with_monai": "1.0.1"}})
    bundle = read_bundle(folder)
    assert bundle.plan.network.arguments["downsample"] == "legacy"
    assert bundle.card.trained_with_monai == "1.0.1"
