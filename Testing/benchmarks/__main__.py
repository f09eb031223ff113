"""``make bench``: one Markdown table, of speed and memory beside stock MONAI and of what clicks are worth, and a
picture of where the time goes.

Takes about twenty-five minutes on two cores; what is being measured is told on the error stream.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

from rows import ROWS, Row, measured

HEADER = ["what", "TransformerSeg", "stock MONAI", "stock ÷ ours", "agreement"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"all, or some of: {', '.join(ROWS)}")
    parser.add_argument("--small", action="store_true", help="smaller networks, to try the rows out")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw where the time of a window goes")
    parser.add_argument("--measure", choices=ROWS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measured(chosen.measure)))
        return
    print(f"{_machine()}\n", _line(HEADER), _line(["---"] * len(HEADER)), sep="\n", flush=True)
    small = ["--small"] if chosen.small else []
    for number, name in enumerate(names := chosen.rows or list(ROWS), start=1):
        begun = time.monotonic()
        _tell(f"[{number}/{len(names)}] {name} …")
        # A process of its own, so that memory is measured from the same start.
        call = [sys.executable, __file__, "--measure", name, *small]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
        for values in json.loads(done.stdout.splitlines()[-1]):
            print(_line(Row(*values).cells()), flush=True)
        _tell(f"    {time.monotonic() - begun:.0f} s")
    if chosen.picture:
        from time_picture import draw_time

        _tell(f"{chosen.picture} …")
        draw_time(chosen.picture)


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _machine() -> str:
    """What the figures are of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {_processor()}, torch {version('torch')}, MONAI {version('monai')}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
