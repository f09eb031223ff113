"""Whether the processor computes in bfloat16 by itself is told by the system, or by torch once it is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from TransformerSegLib.inference import instructions
from TransformerSegLib.inference.instructions import gpu_computes_in_bfloat16


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f avx512_bf16 avx512_vnni", True),
        ("fpu avx2 amx_tile amx_bf16", True),
        ("fpu avx2 avx512f avx512_vnni", False),
        ("fpu no_avx512_bf16 avx2", False),
    ],
)
def test_linux_lists_them_among_the_processors_flags(tmp_path: Path, flags: str, expected: bool):
    listed = tmp_path / "cpuinfo"
    listed.write_text(f"processor\t: 0\nmodel name\t: A processor\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert instructions._told_by_linux(listed) is expected


def test_a_processor_of_another_kind_has_none_of_them(tmp_path: Path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert instructions._told_by_linux(listed) is False


def test_other_systems_do_not_tell_before_torch_is_loaded(tmp_path: Path):
    assert instructions._told_by_linux(tmp_path / "missing") is None


def test_to_ask_does_not_load_torch():
    code = (
        "import sys; from TransformerSegLib.inference.instructions import computes_in_bfloat16; "
        "computes_in_bfloat16(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not instructions.CPU_INFO.exists(), reason="only Linux lists them in a file")
def test_torch_and_linux_say_the_same():
    assert instructions._told_by_torch() is instructions._told_by_linux(instructions.CPU_INFO)


@pytest.mark.parametrize(("capability", "told"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_is_known_by_its_generation(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], told: bool):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: capability)
    assert [gpu_computes_in_bfloat16(name) for name in ("auto", "cuda:1", "cuda:2")] == [told, told, False]
