"""Volumes as a table: of a run, and of segments as they are in a scene."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.volume_table import HEADER, VolumeRow, check_table, rows_of_run, write_volumes
from TransformerSegLib.scene.sign_off import Status, set_status
from TransformerSegLib.scene.volume_rows import volume_rows

from example_segmentation import AFFINES, example_segmentation


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_runs_result_is_proposed_by_the_model_alone(tmp_path: Path):
    result = example_segmentation(AFFINES["oblique"], layers=2)
    write_volumes(tmp_path / "a.csv", rows_of_run(result))
    rows = read(tmp_path / "a.csv")
    assert [row["segment"] for row in rows] == ["Anterior Größe", "Nothing", "C", "Overlapping 1"]
    assert [int(row["voxels"]) for row in rows] == [5 * 3 * 8, 0, 4 * 4 * 5, 5 * 5 * 5]
    for row, segment in zip(rows, result.segments, strict=True):
        assert float(row["volume (mL)"]) == pytest.approx(segment.volume_ml, abs=1e-4)
        assert row["made by"] == "proposal"
    assert (rows[0]["code"], rows[0]["meaning"]) == ("SCT 5366008", "Hippocampus")
    assert rows[3]["code"] == ""


def test_in_a_scene_it_says_who_edited_and_how_much(node, pencil, tmp_path: Path):
    pencil.paint("Segment_2", np.s_[0:2, 0:3, 0:1])
    mine = node.GetSegmentation().AddEmptySegment("mine", "=HYPERLINK(1)")
    pencil.paint(mine, np.s_[0:1, 0:4, 9:10])
    set_status(node, "Segment_9", Status.COMPLETED)

    write_volumes(tmp_path / "a.csv", volume_rows(node))

    first, nothing, last, overlapping, own = read(tmp_path / "a.csv")
    assert (first["voxels"], first["made by"], first["voxels changed by hand"]) == ("126", "proposal + by hand", "6")
    assert (nothing["voxels"], nothing["made by"], nothing["voxels changed by clicks"]) == ("0", "proposal", "0")
    assert (last["status"], overlapping["status"]) == ("completed", "not started")
    assert (own["made by"], own["voxels changed by hand"]) == ("by hand", "4")
    assert own["segment"] == "'=HYPERLINK(1)"  # which a spreadsheet would follow
    volume_ml = abs(np.linalg.det(AFFINES["oblique"])) * 126 / 1000
    assert float(first["volume (mL)"]) == pytest.approx(volume_ml, abs=1e-4)


def test_only_chosen_segments_are_in_it(node):
    assert [row.name for row in volume_rows(node, ["Segment_9"])] == ["C"]


def test_where_the_proposal_is_lost_nobody_knows_who_edited(scene, node):
    scene.RemoveNode(scene.GetFirstNodeByClass("vtkMRMLTextNode"))
    row = volume_rows(node)[0]
    assert (row.made_by, row.by_hand, row.by_clicks) == ("proposal, and maybe a person", None, None)


def test_an_earlier_table_is_replaced_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.csv"
    check_table(path)
    write_volumes(path, [VolumeRow("a", 1, 0.001, "proposal", 0, 0)])
    assert path.read_text(encoding="utf-8-sig").splitlines()[0] == ",".join(HEADER)
    check_table(path)
    path.write_text("patient,dose\n", encoding="utf-8")
    with pytest.raises(OutputRejected, match="is no table"):
        check_table(path)
    check_table(path, overwrite=True)
    for wrong in ("a.txt", "."):
        with pytest.raises(OutputRejected, match="cannot be a table"):
            check_table(tmp_path / wrong)
