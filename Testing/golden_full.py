"""Hold every network in its full official configuration against samples of the official answer, and print a table:

    python Testing/golden_full.py FOLDER [CASE …]

FOLDER holds the golden data, with the full configurations in ``full`` and ``*/full``: for each a JSON file
(configuration, name, shape and rule of each tensor, number of parameters) and, where there is an answer, an npz file
with every so many voxels of it. All cases together take some ten minutes and 5 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from TransformerSegLib.networks.registry import configured

from golden_case import MARK, GoldenCase
from official_arguments import answer, is_idle, ours

START = 1
"""The first voxel of the samples, along each axis."""

STATISTICS = ("_ch_mean", "_ch_std")
"""Ends of names of arrays that are no samples."""

NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked", "relative_position_index", "attn_mask")


def full_cases(folder: Path) -> Iterator[tuple[GoldenCase, int]]:
    """Each case, and its official number of parameters."""
    for path in sorted([*folder.glob("full/*.json"), *folder.glob("*/full/*.json")]):
        description = json.loads(path.read_text())
        yield _case(path, description), description["params"]


def _case(path: Path, description: dict) -> GoldenCase:
    samples: dict[str, np.ndarray] = {}
    if path.with_suffix(".npz").exists():
        with np.load(path.with_suffix(".npz")) as arrays:
            samples = {name: arrays[name] for name in arrays if not name.endswith(STATISTICS)}
    side = description["output"][-1]
    strides = {side // sample.shape[-1] for sample in samples.values()}
    golden = description.get("golden", {})
    return GoldenCase(
        name=path.stem,
        network=description["network"],
        config=description["config"],
        seed=0,
        tensors=[(t["key"], t["shape"], t["rule"], t["scale"]) for t in description["state_dict"]],
        input_shapes={"input": description["input"]},
        samples=samples,
        deviations={output: golden[output]["std"] for output in samples},
        start=START,
        stride=max(strides, default=1),
    )


def parameters(case: GoldenCase) -> int:
    """How many our network of a case has. Takes no memory.

    Tensors that take no part in the result are counted as in the official network: versions differ in them.
    """
    name, arguments = ours(case, "out")
    outline = configured(name, arguments).outline()
    counted = {tensor: tuple(value.shape) for tensor, value in outline.items() if not is_idle(tensor, name)}
    counted |= {tensor: shape for tensor, shape in case.shapes.items() if is_idle(tensor, name)}
    return sum(math.prod(shape) for tensor, shape in counted.items() if not tensor.endswith(NOT_PARAMETERS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", help="names; by default all")
    chosen = parser.parse_args()
    print(f"{'case':32}{'output':20}{'parameters':>12}  {'max|d|/std':>10}{'seconds':>9}")
    wrong = False
    for case, official in full_cases(chosen.folder):
        if chosen.cases and case.name not in chosen.cases:
            continue
        found = parameters(case)
        wrong |= found != official
        for output in case.samples or [""]:
            begin = time.perf_counter()
            away = case.deviation(answer(case, output), output) if output else float("nan")
            wrong |= away > MARK
            seconds = time.perf_counter() - begin
            print(f"{case.name:32}{output:20}{found:12,}  {away:10.1e}{seconds:9.1f}", flush=True)
    raise SystemExit("Not equal to the official networks" if wrong else 0)


if __name__ == "__main__":
    main()
