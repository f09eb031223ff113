"""Many runs, ended in every way that a person may end them.

Module code and the real MRML scene, on a stand-in for Slicer's Qt layer."""

from __future__ import annotations

import gc
import logging
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import slicer

from TransformerSegLib.panel.run import Run, RunState

from host import Host
from panel_user import PanelUser

SETTLED_AFTER = 3
LONGEST_MOMENT_S = 0.6
"""A run over the sample volume takes about that long on one core: random moments fall before, in and after it."""

GROWTH_LIMIT = 1.05


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_runs_ended_twice_in_every_way_at_random_moments_leave_neither_errors_nor_memory_behind(caplog):
    chance = random.Random(20)
    memory = []
    with Host() as host:
        user = PanelUser(host)
        for end_early in [*ENDINGS, *chance.sample(ENDINGS, len(ENDINGS))]:
            run = start_a_run(user)
            user.wait(chance.uniform(0, LONGEST_MOMENT_S))
            end_early(user)
            user.wait_for_end()
            assert run.state is RunState.DONE or run.state is RunState.CANCELLED, f"{end_early.__name__}: {run.words}"
            assert run.error is None
            assert not user.sees("errorBox")
            host.scene.Clear(0)
            user.wait()
            assert host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
            run = None
            memory.append(resident_bytes())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert max(memory[SETTLED_AFTER:]) <= GROWTH_LIMIT * memory[SETTLED_AFTER - 1], memory


def start_a_run(user: PanelUser) -> Run:
    user.load()
    user.ui.segmentButton.click()
    (run,) = user.opened.logic.session.runs
    return run


def let_finish(user: PanelUser) -> None:
    pass


def cancel(user: PanelUser) -> None:
    for run in user.opened.logic.session.runs:
        user.opened.logic.session.cancel(run)


def delete_the_volume(user: PanelUser) -> None:
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", user.host.scene):
        user.host.scene.RemoveNode(node)


def delete_the_result(user: PanelUser) -> None:
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", user.host.scene):
        user.host.scene.RemoveNode(node)


def close_the_scene(user: PanelUser) -> None:
    user.host.scene.Clear(0)


def leave_the_module(user: PanelUser) -> None:
    user.opened.widget.exit()
    user.wait(0.05)
    user.opened.widget.enter()


ENDINGS: list[Callable[[PanelUser], None]] = [
    let_finish,
    cancel,
    delete_the_volume,
    delete_the_result,
    close_the_scene,
    leave_the_module,
]


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
