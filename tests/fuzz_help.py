"""Mutations of valid inputs, the same for the same seed."""

from __future__ import annotations

import random
import struct

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(data: bytes, chance: random.Random, *, changes: int = 8) -> bytes:
    """``data`` with a few bytes changed, taken out, repeated or moved, or its end cut off; the beginning is hit often, since
    headers are there."""
    result = bytearray(data)
    for _ in range(chance.randint(1, changes)):
        if not result:
            break
        end = len(result) if chance.random() < 0.5 else min(len(result), 512)
        at = chance.randrange(end)
        match chance.randrange(8):
            case 0:
                result[at] ^= 1 << chance.randrange(8)
            case 1:
                result[at] = chance.randrange(256)
            case 2:
                number = struct.pack(chance.choice("<>") + "I", chance.choice(_NUMBERS))
                result[at : at + 4] = number[: len(result) - at]
            case 3:
                del result[at : at + chance.choice([1, 4, 64, 1024])]
            case 4:
                result[at:at] = result[at : at + chance.choice([1, 4, 64, 1024])]
            case 5:
                size = chance.choice([1, 8, 64])
                other = chance.randrange(len(result))
                result[at : at + size] = result[other : other + size]
            case 6 if chance.random() < 0.3:
                del result[at:]
            case _:
                size = chance.choice([2, 16, 128])
                result[at : at + size] = chance.randbytes(len(result[at : at + size]))
    return bytes(result)
