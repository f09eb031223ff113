"""The file that names a checkpoint's classes may have any of the forms that such files have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from TransformerSegLib.bundles.card import Code
from TransformerSegLib.bundles.labels import are_exclusive, read_labels, segment_classes
from TransformerSegLib.errors import LabelsRejected

LIVER = {"scheme": "SCT", "value": "10200004", "meaning": "Liver"}


def write(folder: Path, content: object) -> Path:
    path = folder / "labels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def classes(folder: Path, content: object, channels: int, *, usually: bool = True) -> list[tuple[int, int, str]]:
    """Label, channel and name of each class."""
    labels = read_labels(write(folder, content))
    exclusive = are_exclusive(labels, channels, usually)
    return [(each.label, each.channel, each.name) for each in segment_classes(labels, channels, exclusive=exclusive)]


TWO = [(1, 1, "spleen"), (2, 2, "liver")]


@pytest.mark.parametrize(
    "content",
    [
        {"spleen": 1, "liver": 2},
        {"liver": 2, "spleen": 1},
        {"background": 0, "spleen": 1, "liver": 2},
        {"1": "spleen", "2": "liver"},
        {"0": "background", "1": "spleen", "2": "liver"},
        {"0": "Background", "2": "liver", "1": "spleen"},
        {"spleen": "1", "liver": "2"},
        ["spleen", "liver"],
        ["background", "spleen", "liver"],
        {"labels": {"0": "background", "1": "spleen", "2": "liver"}, "modality": {"0": "CT"}, "name": "Decathlon"},
        {"labels": {"background": 0, "spleen": 1, "liver": 2, "ignore": 3}, "channel_names": {"0": "CT"}},
        [{"name": "spleen", "label": 1}, {"name": "liver", "label": 2}],
        {"classes": [{"name": "spleen"}, {"name": "liver"}]},
        "\ufeff" + json.dumps(["spleen", "liver"]),
    ],
)
def test_every_form_of_labels_means_the_same(content: object, tmp_path: Path):
    assert classes(tmp_path, content, channels=3) == TWO


@pytest.mark.parametrize(
    "content",
    [
        ["TC", "WT", "ET"],
        {"TC": 1, "WT": 2, "ET": 3},
        {"TC": 0, "WT": 1, "ET": 2},
        {"labels": {"background": 0, "TC": [2, 3], "WT": [1, 2, 3], "ET": [3]}},
    ],
)
def test_classes_that_overlap_have_no_background(content: object, tmp_path: Path):
    found = classes(tmp_path, content, channels=3, usually=False)
    assert [(channel, name) for _, channel, name in found] == [(0, "TC"), (1, "WT"), (2, "ET")]
    assert [label for label, _, _ in found] == [1, 2, 3]


def test_the_values_of_overlapping_classes_are_kept(tmp_path: Path):
    found = classes(tmp_path, {"TC": 1, "WT": 2, "ET": 4}, channels=3, usually=False)
    assert found == [(1, 0, "TC"), (2, 1, "WT"), (4, 2, "ET")]


def test_one_name_fewer_than_channels_leaves_room_for_the_background(tmp_path: Path):
    assert classes(tmp_path, ["spleen", "liver"], channels=3, usually=False) == TWO


def test_colours_codes_and_channels_of_the_rich_form_are_kept(tmp_path: Path):
    rich = {"name": "Liver", "label": 7, "channel": 1, "color": [221, 130, 101], "type": LIVER, "category": None}
    (liver,) = segment_classes(read_labels(write(tmp_path, [rich])), 2, exclusive=True)
    assert (liver.label, liver.channel, liver.type) == (7, 1, Code(**LIVER))
    assert liver.color == pytest.approx((221 / 255, 130 / 255, 101 / 255))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("7", "neither an object nor a list"),
        ({}, "names no class"),
        (["background"], "names no class"),
        ({"spleen": "liver"}, "neither a name with its number"),
        ({"spleen": True}, "the number True"),
        ({"spleen": -1}, "the number -1"),
        ({"spleen": 1.5}, "neither a name with its number"),
        (["spleen", 3], "no name of a class"),
        ('{"1": "spleen", "1": "liver"}', "“1” is in it twice"),
        ([{"name": "spleen", "colour": [1, 0, 0]}], "“colour” is not known"),
        ([{"label": 1}], "no name of a class"),
        ([{"name": "spleen", "label": "1"}], "not whole numbers"),
    ],
)
def test_a_file_that_names_no_classes_is_refused(content: object, said: str, tmp_path: Path):
    with pytest.raises(LabelsRejected) as refusal:
        read_labels(write(tmp_path, content))
    assert said in refusal.value.what


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (["spleen"], "name 1 class, and the network scores 2 classes"),
        (["spleen", "liver", "kidney"], "name 3 classes, and the network scores 2 classes"),
        ({"spleen": 1, "liver": 3}, "“liver” the number 3"),
        ({"spleen": 0, "liver": 1}, "“spleen” the number 0"),
        (["liver", "liver"], "have the name “liver”"),
        ([{"name": "spleen", "channel": 1}, {"name": "liver", "channel": 1}], "have the channel “1”"),
        ([{"name": "spleen", "label": 1, "channel": 1}, {"name": "liver", "label": 2, "channel": 3}], "on channel 3"),
        ([{"name": "spleen", "type": {"scheme": "SCT"}}, {"name": "liver"}], "type.value"),
        ([{"name": "spleen", "color": [1, 2]}, {"name": "liver"}], "color"),
    ],
)
def test_labels_that_do_not_fit_the_network_are_refused(content: object, said: str, tmp_path: Path):
    with pytest.raises(LabelsRejected) as refusal:
        classes(tmp_path, content, channels=3)
    assert said in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(LabelsRejected, match=r"“labels\.json” do not exist"):
        read_labels(tmp_path / "labels.json")
