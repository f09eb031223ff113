"""The panel's models, as a person meets them: searching, reading the card, licences, import, removal.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.bundles.measured import rewrite_measured, with_measured
from TransformerSegLib.bundles.published import CATALOGUE_FORMAT
from TransformerSegLib.bundles.reading import read_bundle

from bundle_factory import change_json, write_bundle, write_json
from figures_on_card import write_figures
from host import Host
from panel_user import SAMPLE, PanelUser, plain

LONGEST_PAUSE = 0.05
"""Seconds of work of the window's own thread, after which it is seen to stand still."""

HIPPOCAMPUS = "Hippocampus, Swin UNETR"


@pytest.fixture
def user(tmp_path) -> Iterator[PanelUser]:
    """Nothing is there to be downloaded."""
    catalogue = tmp_path / "catalogue.json"
    write_json(catalogue, {"format": CATALOGUE_FORMAT, "models": []})
    with Host() as host:
        yield PanelUser(host, catalogue)


def bundle(folder: Path, title: str, licence: str = "Apache-2.0", **options) -> Path:
    """A small bundle with this title and licence."""
    write_bundle(folder, **options)
    metadata = folder / "configs" / "metadata.json"
    own = json.loads(metadata.read_text(encoding="utf-8"))["transformerseg"]
    change_json(metadata, transformerseg={**own, "title": title, "licence": licence})
    return folder


def test_a_model_shows_modality_structures_size_and_whether_it_is_there(user):
    item = user.ui.modelList.item(0)
    megabytes = find_bundle().weights.stat().st_size / 1e6

    assert item.text().splitlines() == [HIPPOCAMPUS, f"MR · 2 structures · {megabytes:.0f} MB, on disk"]
    assert "Posterior hippocampus" in user.reads("modelLabel")


def test_the_search_finds_titles_structures_and_modalities(user, tmp_path):
    user.import_folder(bundle(tmp_path / "abdomen", "Abdomen", classes=("Liver", "Spleen")))
    assert user.models() == [HIPPOCAMPUS, "Abdomen"]

    for words, found in (
        ("spleen", ["Abdomen"]),
        ("mr hippo", [HIPPOCAMPUS]),
        ("", [HIPPOCAMPUS, "Abdomen"]),
        ("x", []),
    ):
        user.ui.searchEdit.text = words
        assert user.models() == found


def test_the_card_is_shown_on_demand(user):
    assert not user.sees("cardBrowser")

    user.click("cardButton")

    assert "Medical Segmentation Decathlon" in plain(user.ui.cardBrowser.html)
    user.click("cardButton")
    assert not user.sees("cardBrowser")


def test_the_card_shows_what_was_measured_with_its_intervals_and_a_dash_where_nothing_was(user, tmp_path):
    folder = bundle(tmp_path / "abdomen", "Abdomen", classes=("Liver", "Gallbladder"))
    write_figures(folder)
    user.import_folder(folder)
    user.click("cardButton")
    liver = [
        "Liver",
        "0.930",
        "[0.915, 0.945]",
        "1.60",
        "[1.25, 1.95]",
        "−2.40",
        "[−3.65, −1.15]",
        "−1.5",
        "[−4.0, 1.0]",
    ]
    columns = ["Surface Dice at 1 mm", "HD95 (mm)", "Volume error (mL)", "Volume error (%)"]

    told = [line.strip() for line in plain(user.ui.cardBrowser.html).splitlines() if line.strip()]

    dice, table = told.index("Dice: 20 cases of our own (mean)"), told.index(columns[0])
    assert told[dice + 1 : table] == ["Liver", "0.900", "[0.880, 0.920]", "Gallbladder", "0.500"]
    assert told[table : table + 4] == columns
    assert told[table + 4 : table + 13] == liver
    assert told[table + 13 : table + 18] == ["Gallbladder", "–", "9.25", "–", "–"]
    assert "the model finds too little" in told[table + 18]


def test_the_card_of_a_model_without_such_figures_shows_its_dice_alone(user, tmp_path):
    folder = bundle(tmp_path / "abdomen", "Abdomen", classes=("Liver",))
    card = read_bundle(folder).card
    rewrite_measured(folder, card, with_measured(card, {"Liver": 0.95}, "20 cases", {}))
    user.import_folder(folder)
    user.click("cardButton")

    told = [line.strip() for line in plain(user.ui.cardBrowser.html).splitlines() if line.strip()]

    dice = told.index("Dice: 20 cases")
    assert told[dice + 1 : dice + 4] == ["Liver", "0.950", "Licence: Apache-2.0"]


def test_a_folder_and_a_zip_are_imported_and_chosen(user, tmp_path):
    user.import_folder(bundle(tmp_path / "one", "From a folder"))
    assert user.panel_model() == "From a folder"

    archive = shutil.make_archive(str(tmp_path / "two"), "zip", bundle(tmp_path / "two", "From a zip"))
    user.import_zip(Path(archive))

    assert user.panel_model() == "From a zip"
    assert user.models() == [HIPPOCAMPUS, "From a folder", "From a zip"]


def test_what_is_no_model_is_refused_where_it_was_imported(user, tmp_path):
    (tmp_path / "photographs").mkdir()

    user.import_folder(tmp_path / "photographs")

    assert "metadata.json" in user.reads("changeLabel")
    assert user.models() == [HIPPOCAMPUS]


def test_closing_the_file_dialog_imports_nothing(user):
    user.import_folder("")

    assert user.changes() == []


def test_a_folder_or_zip_that_is_dropped_on_the_list_is_imported(user, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "two"), "zip", bundle(tmp_path / "two", "Zipped"))

    assert user.drop(bundle(tmp_path / "one", "A folder"), Path(archive))
    user.wait_for_models()

    assert user.models() == [HIPPOCAMPUS, "A folder", "Zipped"]
    assert user.panel_model() == "Zipped"


def test_a_dropped_checkpoint_is_told_how_to_become_a_model(user, tmp_path):
    checkpoint = tmp_path / "epoch_150.pth"
    checkpoint.write_bytes(b"weights")

    assert user.drop(checkpoint)
    user.wait_for_models()

    assert "transformerseg import epoch_150.pth --labels labels.json" in user.ui.changeLabel.text
    assert user.models() == [HIPPOCAMPUS]


def test_a_dropped_volume_is_left_to_slicer(user):
    assert not user.drop(SAMPLE)
    assert user.changes() == []


@pytest.mark.alone
def test_a_large_import_lets_the_window_go_on_and_says_how_far_it_is(user, tmp_path):
    import qt

    folder = bundle(tmp_path / "large", "Large")
    archive = Path(shutil.make_archive(str(tmp_path / "large"), "zip", folder))
    user.drop(archive)

    ticks, ticker = [], qt.QTimer()
    ticker.connect("timeout()", lambda: ticks.append(time.thread_time()))
    ticker.start(0)
    user.wait_for_models()
    ticker.stop()

    assert user.panel_model() == "Large"
    assert len(ticks) > 10
    assert max(after - before for before, after in pairwise(ticks)) < LONGEST_PAUSE


def test_a_model_is_exported_as_one_zip_that_can_be_imported(user, tmp_path):
    user.import_folder(bundle(tmp_path / "one", "Mine"))
    user.host.dialogs.answer(str(tmp_path / "mine"))

    user.click("exportModelButton")
    user.wait_for_models()

    assert user.changes() == ["✓ “Mine” is packed into mine.zip"]
    user.click("changeCloseButton")
    user.host.dialogs.answer(True)
    user.click("removeButton")
    user.wait_for_models()
    assert user.models() == [HIPPOCAMPUS]
    user.import_zip(tmp_path / "mine.zip")
    assert user.models() == [HIPPOCAMPUS, "Mine"]


def test_an_imported_model_can_be_removed_and_the_embedded_one_cannot(user, tmp_path):
    assert not user.sees("removeButton")
    user.import_folder(bundle(tmp_path / "one", "Mine"))

    user.host.dialogs.answer(True)
    user.click("removeButton")
    user.wait_for_models()

    assert "Mine" in user.host.dialogs.asked[-1]
    assert user.models() == [HIPPOCAMPUS]
    assert user.panel_model() == HIPPOCAMPUS


def test_a_restricting_licence_is_acknowledged_once_before_the_first_run(user, tmp_path):
    user.load()
    user.import_folder(bundle(tmp_path / "one", "For research", licence="CC-BY-NC-4.0"))
    assert "CC-BY-NC-4.0" in user.reads("licenceLabel")
    assert user.reads("reasonLabel") == "Read and acknowledge the licence of this model"

    user.click("licenceCheckBox")
    assert user.ui.segmentButton.enabled

    user.choose_model(HIPPOCAMPUS)
    assert not user.sees("licenceBox")
    user.choose_model("For research")
    assert user.ui.licenceCheckBox.checked
    assert user.ui.segmentButton.enabled


def test_the_structures_are_those_of_the_chosen_model(user, tmp_path):
    user.load()
    user.import_folder(bundle(tmp_path / "abdomen", "Abdomen", classes=("Liver", "Spleen", "Pancreas")))
    assert user.reads("structuresButton") == "All 3 structures"

    user.tick_structure("Liver", False)
    assert user.reads("structuresButton") == "Spleen, Pancreas"

    user.click("noneButton")
    assert user.reads("structuresButton") == "Nothing: tick a structure"
    assert user.reads("reasonLabel") == "Tick at least one structure"

    user.click("allButton")
    assert user.reads("structuresButton") == "All 3 structures"
    assert user.ui.segmentButton.enabled


def test_the_choice_of_structures_is_kept_in_the_scene(user):
    user.load()
    user.tick_structure("Anterior hippocampus", False)

    assert user.opened.logic.getParameterNode().unwantedClasses == ["Anterior hippocampus"]
    assert user.reads("structuresButton") == "Posterior hippocampus"
