"""How many prepared cases are kept in memory between epochs; the others are read and prepared anew each time."""

from __future__ import annotations

import sys

from TransformerSegLib.inference.devices import computer_memory
from TransformerSegLib.training.processes import number_of_processes

KEPT_SHARE = 0.4
"""Of the computer's free memory, which all processes of a run may fill with prepared cases."""


def cases_kept(case_bytes: int) -> int:
    """How many cases of this size this process may keep: at least one, and any number where the computer does not tell
    how much memory it has.
    """
    free, total = computer_memory()
    memory = free if free is not None else total
    if memory is None:
        return sys.maxsize
    return max(1, int(KEPT_SHARE * memory / number_of_processes()) // case_bytes)
