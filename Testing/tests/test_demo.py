"""``make demo``, as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from TransformerSegLib.scene.offscreen import offscreen_application

from mrml_reading import read_segmentation_node

DEMO = Path(__file__).parents[1] / "demo" / "demo.py"


def test_the_demo_segments_the_sample_well_and_leaves_segmentation_scene_and_picture(tmp_path: Path):
    done = subprocess.run([sys.executable, DEMO, "--output", tmp_path], capture_output=True, text=True, check=True)
    agreements = [float(value) for value in re.findall(r"Dice ([\d.]+)", done.stdout)]
    assert len(agreements) == 2
    assert min(agreements) > 0.84
    assert len(re.findall(r"[\d.]+ mL", done.stdout)) == 2
    assert "not for diagnosis" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {f"hippocampus_297{s}" for s in (".seg.nrrd", ".mrb", ".png")}
    with offscreen_application() as application:
        node = read_segmentation_node(application.GetMRMLScene(), tmp_path / "hippocampus_297.seg.nrrd")
        segments = node.GetSegmentation()
        names = [segments.GetNthSegment(n).GetName() for n in range(segments.GetNumberOfSegments())]
    assert names == ["Anterior hippocampus", "Posterior hippocampus"]
