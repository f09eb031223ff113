"""What the panel says: numbers, errors, reasons, cards, tables."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.summary import ModelSummary, read_summary
from TransformerSegLib.errors import OutputRejected, VectorVoxels
from TransformerSegLib.inference.statistics import Statistics

from host import Host
from panel_user import plain

SUMMARY = read_summary(find_bundle().folder)
TO_DOWNLOAD = replace(SUMMARY, on_disk=False, downloadable=True, source="https://example.org/weights.pt")


@pytest.fixture(autouse=True)
def host() -> Iterator[Host]:
    with Host() as host:
        yield host


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.4 s"),
        (12.4, "12 s"),
        (75, "75 s"),
        (100, "2 min"),
        (3500, "58 min"),
        (3595, "1 h 0 min"),
        (3900, "1 h 5 min"),
    ],
)
def test_times_are_as_exact_as_a_person_needs_them(seconds, words):
    from TransformerSegLib.panel.phrases import duration

    assert duration(seconds) == words


def test_sizes_have_a_unit_that_people_know():
    from TransformerSegLib.inference.data_size import data_size

    assert [data_size(size) for size in (10, 15_600_000, 999_600_000, 1_240_000_000)] == [
        "1 MB",
        "16 MB",
        "1.0 GB",
        "1.2 GB",
    ]


def test_an_error_says_what_why_and_what_to_do_and_its_names_are_no_markup():
    from TransformerSegLib.panel.phrases import explained

    error = VectorVoxels("“<b>x & y</b>” has 3 values", why="the model reads one", remedy="convert it")

    assert plain(explained(error)) == "✗ “<b>x & y</b>” has 3 values.\nThe model reads one.\n→ Convert it."


def test_a_transfer_tells_how_far_it_is_how_fast_and_for_how_long_still():
    from TransformerSegLib.panel.transfer import Transfer

    transfer = Transfer()
    assert transfer.words(now=99.0) == ""
    transfer.add(0, 250_000_000, at=100.0)
    assert transfer.words(now=100.0) == "1 MB of 250 MB"
    transfer.add(50_000_000, 250_000_000, at=120.0)
    assert transfer.words(now=121.0) == "50 MB of 250 MB, 2.5 MB/s, about 80 s left"
    assert transfer.words(now=128.0) == "50 MB of 250 MB, nothing came for 8.0 s"


def test_a_download_that_is_gone_on_with_is_as_fast_as_what_comes_now():
    from TransformerSegLib.panel.transfer import Transfer

    transfer = Transfer()
    for at, done in ((0.0, 200_000_000), (2.0, 201_000_000)):
        transfer.add(done, 250_000_000, at)
    assert transfer.bytes_per_second == 500_000
    transfer.add(0, 250_000_000, at=3.0)
    assert transfer.bytes_per_second is None, "the server began anew"


def test_a_transfer_of_unknown_size_tells_what_came():
    from TransformerSegLib.panel.transfer import Transfer

    transfer = Transfer()
    transfer.add(1_000_000, None, at=0.0)
    transfer.add(3_000_000, None, at=2.0)
    assert transfer.words(now=2.0) == "3 MB, 1.0 MB/s"


def choices(**changes):
    from TransformerSegLib.panel.checking import InputCheck, Verdict
    from TransformerSegLib.panel.readiness import Choices

    ready = Choices(
        has_volumes=True,
        model=SUMMARY,
        change=None,
        licence_accepted=True,
        inputs={"T1": True},
        check=InputCheck("fits", Verdict.FITS),
        confirmed=False,
        any_structure=True,
    )
    return replace(ready, **changes)


def test_segment_can_be_pressed_when_all_is_chosen():
    from TransformerSegLib.panel.readiness import reason_not_ready

    assert reason_not_ready(choices()) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"has_volumes": False}, "Load a volume first"),
        ({"model": None}, "Import a model first"),
        ({"model": TO_DOWNLOAD}, "Download this model first"),
        (
            {"model": TO_DOWNLOAD, "licence_accepted": False},
            "Read and acknowledge the licence of this model, then download it",
        ),
        ({"model": replace(SUMMARY, fault="damaged")}, "This model cannot be used: choose another"),
        ({"inputs": {"T1": False}}, "Choose the volume to segment"),
        ({"inputs": {"T1": True, "T2": False, "FLAIR": False}}, "Choose the volume for T2, FLAIR"),
        ({"licence_accepted": False}, "Read and acknowledge the licence of this model"),
        ({"any_structure": False}, "Tick at least one structure"),
    ],
)
def test_the_reason_says_what_to_do(changes, reason):
    from TransformerSegLib.panel.readiness import reason_not_ready

    assert reason_not_ready(choices(**changes)) == reason


def test_a_refused_input_gives_its_remedy_as_the_reason():
    from TransformerSegLib.panel.checking import InputCheck, Verdict
    from TransformerSegLib.panel.readiness import reason_not_ready

    error = VectorVoxels("It has 3 values", why="one is read", remedy="Convert it to a scalar volume")
    check = InputCheck("It has 3 values", Verdict.REFUSED, error)

    assert reason_not_ready(choices(check=check)) == "Convert it to a scalar volume"


def test_a_mismatch_waits_for_its_confirmation():
    from TransformerSegLib.panel.checking import InputCheck, Verdict
    from TransformerSegLib.panel.readiness import reason_not_ready

    check = InputCheck("CT, but this model was trained on MR", Verdict.CONFIRM)
    whole_head = replace(check, suggests_region=True)

    assert reason_not_ready(choices(check=check)) == "Choose a volume that fits, or confirm"
    assert reason_not_ready(choices(check=whole_head)) == "Place the box, or confirm to segment all of it"
    assert reason_not_ready(choices(check=check, confirmed=True)) == ""


def test_the_card_tells_data_licence_dice_and_limits():
    from TransformerSegLib.panel.card_text import card_text

    bundle = find_bundle()
    card = bundle.card
    text = plain(card_text(SUMMARY, bundle))

    dice = [f"{value:.3f}" for value in card.dice.values()]
    assert len(dice) == 2
    for told in (card.training_data, card.licence, *card.limits, *card.references, card.intended_use, *dice):
        assert told in text


def test_without_packages_the_card_tells_what_is_known():
    from TransformerSegLib.panel.card_text import card_text

    text = plain(card_text(SUMMARY, None))

    assert SUMMARY.licence in text
    assert "Posterior hippocampus" in text


def test_the_card_of_a_model_to_be_downloaded_tells_its_size_and_source_as_plain_text():
    from TransformerSegLib.panel.card_text import card_text

    rich = card_text(replace(TO_DOWNLOAD, dice="mean 0.82 (as published)"), None)

    assert f"about {SUMMARY.bytes / 1e6:.0f} MB" in plain(rich)
    assert TO_DOWNLOAD.source in plain(rich)
    assert "mean 0.82 (as published)" in plain(rich)
    assert "<a" not in rich


def test_the_card_tells_how_patches_are_merged_and_the_hash_of_what_was_downloaded():
    from TransformerSegLib.panel.card_text import card_text

    bundle = find_bundle()
    text = plain(card_text(SUMMARY, bundle, recorded_sha256="ab" * 32))

    assert bundle.card.patch_merging
    assert f"Patch merging: {bundle.card.patch_merging}" in text
    assert "ab" * 32 in text


def restricted_model(licence: str = "CC-BY-NC-4.0") -> ModelSummary:
    return replace(SUMMARY, name="other", licence=licence, restricted=True)


def test_a_restricting_licence_is_acknowledged_once():
    import slicer

    from TransformerSegLib.panel.licences import Licences

    assert Licences(slicer.app.userSettings()).accepted(SUMMARY)
    assert not Licences(slicer.app.userSettings()).accepted(restricted_model())

    Licences(slicer.app.userSettings()).accept(restricted_model())

    assert Licences(slicer.app.userSettings()).accepted(restricted_model())
    assert not Licences(slicer.app.userSettings()).accepted(restricted_model("another licence of the same model"))


def rows():
    from TransformerSegLib.panel.segment_rows import SegmentRow
    from TransformerSegLib.scene.made import Maker

    red = (1.0, 0.0, 0.0)
    return [
        SegmentRow("1", "Leber, “links”", red, Statistics(1234.5678, 101.25, 1234568), Maker.MODEL),
        SegmentRow("2", "Milz", red, Statistics(0.0, None, 0), Maker.MODEL_THEN_PERSON),
        SegmentRow("3", "new", red, None, Maker.PERSON),
    ]


def test_rows_read_as_a_person_writes_numbers():
    table = [(row.title, row.volume_words, row.mean_words) for row in rows()]

    assert table == [("Leber, “links”", "1235", "101"), ("Milz ✎", "none", "–"), ("new ✎", "…", "…")]


def test_the_exported_table_holds_what_the_screen_rounds(tmp_path: Path):
    from TransformerSegLib.panel.segment_rows import write_csv

    path = tmp_path / "table.csv"
    path.write_text("an older table")

    write_csv(rows(), path)

    with path.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [
            ["Segment", "Volume (mL)", "Mean intensity", "Voxels", "Made by"],
            ["Leber, “links”", "1234.5678", "101.25", "1234568", "model"],
            ["Milz", "0.0000", "", "0", "model, changed by a person"],
            ["new", "", "", "", "person"],
        ]
    assert [child.name for child in tmp_path.iterdir()] == ["table.csv"]


def test_a_table_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path):
    from TransformerSegLib.panel.segment_rows import write_csv

    with pytest.raises(OutputRejected):
        write_csv(rows(), tmp_path / "no such folder" / "table.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"options": {"region": {"center": [0, 0, 0]}}}, "box"),
        ({"options": {"region": None, "accept_mismatch": True}}, "unlike what the model was trained on"),
        ({"options": {"region": None, "accept_mismatch": False}}, "outside of the image"),
        ({}, "outside of the image"),
    ],
)
def test_an_empty_structure_comes_with_the_likely_reason(record, told):
    from TransformerSegLib.panel.empty_segments import likely_reason

    assert told in likely_reason(record)
