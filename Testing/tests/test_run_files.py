"""What a run tells those who look at it from outside: progress, log and curve."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.training import curve, progress_file
from TransformerSegLib.training.curve import Curve, draw_curve
from TransformerSegLib.training.learning_log import LearningLog, read_log
from TransformerSegLib.training.lines import Lines
from TransformerSegLib.training.progress_file import ProgressFile, State
from TransformerSegLib.training.reports import EpochReport, StepReport
from TransformerSegLib.training.tensorboard_log import TensorBoardLog


def told(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_progress_is_written_while_a_long_step_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress_file, "SECONDS_BETWEEN", 0.05)
    path = tmp_path / "progress.json"
    with ProgressFile(path) as progress:
        assert told(path)["state"] == "checking"
        progress.tell(state=State.TRAINING, epoch=1, epochs=3, loss=0.5)
        first = _written_anew(path)
        assert (first["state"], first["epoch"], first["epochs"], first["loss"]) == ("training", 1, 3, 0.5)
        before = path.stat().st_mtime_ns
        _written_anew(path)
        assert path.stat().st_mtime_ns > before
        progress.tell(state=State.DONE, output="model")
    assert (told(path)["state"], told(path)["output"]) == ("done", "model")
    assert [each.name for each in tmp_path.iterdir()] == ["progress.json"]


def _written_anew(path: Path) -> dict:
    """What stands in the file after it was written twice more: the second time began after this call."""
    for _ in range(2):
        before, deadline = path.stat().st_mtime_ns, time.monotonic() + 20
        while path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "the file is not written again"
            time.sleep(0.01)
    return told(path)


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (KeyboardInterrupt(), "stopped", ""),
        (SystemExit(143), "stopped", ""),
        (TrainingDataRejected("It is wrong", why="so", remedy="Do that"), "failed", "It is wrong: so. Do that."),
        (MemoryError("of 9 GB"), "failed", "MemoryError: of 9 GB"),
    ],
)
def test_progress_tells_how_the_work_ended(tmp_path: Path, error: BaseException, state: str, message: str):
    def work() -> None:
        with ProgressFile(tmp_path / "progress.json") as progress:
            progress.tell(state=State.TRAINING, seconds_left=5.0)
            raise error

    with pytest.raises(type(error)):
        work()
    found = told(tmp_path / "progress.json")
    assert (found["state"], found["message"], found["seconds_left"]) == (state, message, None)


def test_an_output_whose_name_is_no_text_is_told_too(tmp_path: Path):
    output = os.fsdecode(b"/models/\xc4rzte")
    with ProgressFile(tmp_path / "progress.json") as progress:
        progress.tell(output=output)
    assert json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))["output"] == output


def test_of_several_processes_one_writes_the_progress(tmp_path: Path):
    with ProgressFile(tmp_path / "progress.json", write=False) as progress:
        progress.tell(state=State.TRAINING)
    assert not list(tmp_path.iterdir())


def row(epoch: int, **others) -> dict:
    return {"epoch": epoch, "loss": 1 / epoch, "learning_rate": 1e-3, "seconds": 2.0, "mean_dice": None, **others}


def test_a_log_goes_on_after_the_last_epoch_that_was_kept(tmp_path: Path):
    path = tmp_path / "log.csv"
    log = LearningLog(path, 0)
    for epoch in (1, 2, 3):
        log.add(row(epoch))
    log = LearningLog(path, 2)
    log.add(row(3, mean_dice=0.5, **{"dice Left, upper": 0.4, "dice Right": math.nan}))
    rows = read_log(path)
    assert [each["epoch"] for each in rows] == [1, 2, 3]
    assert path.read_text(encoding="utf-8").splitlines()[0].endswith('mean_dice,"dice Left, upper",dice Right')
    assert rows[-1]["dice Left, upper"] == 0.4
    assert "dice Right" not in rows[-1]
    assert "mean_dice" not in rows[0]


@pytest.mark.parametrize("tail", ["4,0.2", "4", "4,,,", "\x00\x00\x00", "4,abc,1,1,"])
def test_a_torn_line_of_a_log_does_no_harm(tmp_path: Path, tail: str):
    path = tmp_path / "log.csv"
    log = LearningLog(path, 0)
    for epoch in (1, 2, 3):
        log.add(row(epoch))
    path.write_text(path.read_text(encoding="utf-8") + tail, encoding="utf-8")
    LearningLog(path, 3).add(row(4))
    assert [(each["epoch"], each["loss"]) for each in read_log(path)] == [(n, 1 / n) for n in (1, 2, 3, 4)]


def test_a_log_from_before_classes_had_columns_is_taken_up(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,learning_rate,seconds,mean_dice\r\n1,0.7,0.001,3.5,0.25\r\n", encoding="utf-8")
    LearningLog(path, 1).add(row(2, mean_dice=0.5, **{"dice A": 0.5}))
    assert [each["mean_dice"] for each in read_log(path)] == [0.25, 0.5]


def test_a_curve_is_drawn_now_and_then_and_at_the_end(tmp_path: Path):
    path = tmp_path / "curve.png"
    shown = Curve(path)
    shown.show([row(1)])
    first = path.read_bytes()
    shown.show([row(1), row(2, mean_dice=0.8, **{"dice A": 0.7, "dice B": 0.9, "loss part": 0.1})])
    assert path.read_bytes() == first
    shown.show([row(1), row(2, mean_dice=0.8, **{"dice A": 0.7, "dice B": 0.9, "loss part": 0.1})], last=True)
    assert path.read_bytes() != first
    assert [each.name for each in tmp_path.iterdir()] == ["curve.png"]


def test_a_curve_takes_any_name_of_a_class(tmp_path: Path):
    draw_curve(tmp_path / "curve.png", [{"epoch": 1, "loss": 1.0, "mean_dice": 0.5, r"dice $\frac$ 海馬": 0.5}])
    assert (tmp_path / "curve.png").is_file()


def test_without_matplotlib_there_is_no_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(curve.importlib.util, "find_spec", lambda name: None)
    Curve(tmp_path / "curve.png").show([row(1)], last=True)
    assert not list(tmp_path.iterdir())


def test_tensorboard_shows_the_columns_of_the_log(tmp_path: Path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TensorBoardLog(tmp_path, 0)
    log.add(EpochReport(1, 2, 0.5, 1e-3, 2.0, 2.0, 0.75, {"A": 0.75}))
    log.close()
    shown = events.EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for event in shown.Scalars("dice/A")] == [0.75]
    assert [event.value for event in shown.Scalars("loss")] == [0.5]


def test_a_line_an_epoch_is_said_and_within_long_epochs_one_now_and_then(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    lines = Lines(said.append)
    for second in range(0, 71, 10):
        now[0] = 100.0 + second
        lines.step(StepReport(1, 2, second // 10 + 1, 8, 0.5, 3700.4))
    lines.epoch(EpochReport(1, 2, 0.5, 1e-3, 70.0, 70.0, 0.75, {}, {"inpainting": 0.25}))
    assert said == [
        "epoch 1/2, step 4/8: loss 0.5000, 1:01:40 left",
        "epoch 1/2, step 7/8: loss 0.5000, 1:01:40 left",
        "epoch 1/2: loss 0.5000 (inpainting 0.2500), Dice 0.7500, 0:01:10 left",
    ]


def test_while_cases_are_measured_a_line_is_said_where_it_takes_more_than_a_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    said: list[str] = []
    lines = Lines(said.append)
    for case in range(1, 9):
        now[0] += 2
        lines.measured(case, 8, 2.0 * (8 - case))
    assert said == ["measured 3/8 cases, 0:00:10 left", "measured 6/8 cases, 0:00:04 left"]
