"""``make bench``: one Markdown table, of speed and memory beside stock MONAI. Takes about ten minutes.

``python Testing/benchmarks [ROW ...]`` measures only some of the rows of ``rows.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))

from rows import ROWS, Row, measured

HEADER = ["what", "TransformerSeg", "stock MONAI", "stock ÷ ours", "agreement"]
CHILD = "--measure"


def main(names: list[str]) -> None:
    print(_line(HEADER), _line(["---"] * len(HEADER)), sep="\n", flush=True)
    for name in names or ROWS:
        # A process of its own, so that memory is measured from the same start.
        call = [sys.executable, __file__, CHILD, name]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True)
        for values in json.loads(done.stdout.splitlines()[-1]):
            print(_line(Row(*values).cells()), flush=True)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print(json.dumps(measured(sys.argv[2])))
    else:
        main(sys.argv[1:])
