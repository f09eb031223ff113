"""Whether this computer's processor, or its GPU, computes in bfloat16 by itself."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

NAMES = ("avx512_bf16", "amx_bf16")
"""What it needs one of; so both Linux and torch name them."""

CPU_INFO = Path("/proc/cpuinfo")

FIRST_CAPABILITY = 8
"""Of NVIDIA's GPUs, from which on they do (Ampere, 2020)."""


def computes_in_bfloat16() -> bool | None:
    """None where only torch could tell, and it is not loaded: on Windows and macOS."""
    if "torch" in sys.modules:
        return _told_by_torch()
    return _told_by_linux(CPU_INFO)


def gpu_computes_in_bfloat16(device_name: str) -> bool | None:
    """None where only torch could tell, and it is not loaded.

    Args:
        device_name: "cuda:0", …, or "auto" for the first of them.
    """
    if "torch" not in sys.modules:
        return None
    import torch

    number = int(device_name.partition(":")[2] or 0)
    there = torch.cuda.is_available() and number < torch.cuda.device_count()
    return there and torch.cuda.get_device_capability(number)[0] >= FIRST_CAPABILITY


@cache
def _told_by_torch() -> bool:
    import torch

    told = getattr(torch.cpu, "get_capabilities", None)
    if told is not None:
        capabilities = told()
        return any(capabilities.get(name, False) for name in NAMES)
    return bool(_told_by_linux(CPU_INFO))


@cache
def _told_by_linux(cpu_info: Path) -> bool | None:
    """From the flags of the processor, as the kernel lists them."""
    try:
        text = cpu_info.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and any(name in flags[1].split() for name in NAMES)
