"""Damage to files, for tests that no file, however damaged, ends in anything but an error of this project."""

from __future__ import annotations

import numpy as np

ODD_NUMBERS = [b"0", b"-1", b"nan", b"1e400", b"32767", b"99999999999999999999", b"%s%n", b"", b"\xff\xfe", b"\0"]


def mutated(whole: bytes, header_bytes: int, random: np.random.Generator) -> bytes:
    """A file with one damage to its header: bytes changed, cut out or put in, a number made odd, or the end cut off."""
    place = int(random.integers(header_bytes))
    match random.integers(6):
        case 0:
            return whole[:place] + random.bytes(int(random.integers(1, 5))) + whole[place + 4 :]
        case 1:
            return whole[:place] + whole[place + int(random.integers(1, 9)) :]
        case 2:
            return whole[:place] + random.bytes(2) + whole[place:]
        case 3:
            return whole[:place] + ODD_NUMBERS[random.integers(len(ODD_NUMBERS))] + whole[place + 1 :]
        case 4:
            return whole[:place] + bytes([whole[place] ^ (1 << int(random.integers(8)))]) + whole[place + 1 :]
        case _:
            return whole[: int(random.integers(len(whole)))]
