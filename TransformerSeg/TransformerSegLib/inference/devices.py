"""Which devices this machine can compute on, and how much memory each has free."""

from __future__ import annotations

import os
from dataclasses import dataclass

from TransformerSegLib.errors import DeviceUnavailable

CPU = "cpu"
AUTO = "auto"


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        name: as torch and ``--device`` name it: "cuda:0", "mps", "cpu".
        title: for people ("NVIDIA RTX A4000").
        free_bytes, total_bytes: of its memory, now; None where the system does not tell.
    """

    name: str
    title: str
    free_bytes: int | None
    total_bytes: int | None


def available_devices() -> list[Device]:
    """All devices, fastest first; the CPU is always the last."""
    import torch

    devices = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            devices.append(Device(f"cuda:{number}", torch.cuda.get_device_name(number), free, total))
    if torch.backends.mps.is_available():
        # Apple's GPUs share the computer's memory and recommend how much of it to take.
        total = torch.mps.recommended_max_memory()
        devices.append(Device("mps", "Apple GPU", total - torch.mps.driver_allocated_memory(), total))
    free, total = computer_memory()
    return [*devices, Device(CPU, f"CPU, {torch.get_num_threads()} threads", free, total)]


def choose_device(wanted: str = AUTO) -> Device:
    """The device of that name; for "auto" the fastest, for "cuda" the first of its kind.

    Raises:
        DeviceUnavailable: this machine has none of that name.
    """
    devices = available_devices()
    for device in devices:
        if wanted in (AUTO, device.name, device.name.partition(":")[0]):
            return device
    there = ", ".join(device.name for device in devices)
    raise DeviceUnavailable(
        f"There is no device “{wanted}”",
        why=f"this computer has: {there}",
        remedy="Choose one of these, or leave --device out",
    )


def computer_memory() -> tuple[int | None, int | None]:
    """Free (without what the system can give back) and total bytes of the computer's memory, where it tells."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in file)}
        return kilobytes["MemAvailable"] * 1024, kilobytes["MemTotal"] * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None, None
