"""Mutations of valid inputs, the same for the same seed."""

from __future__ import annotations

import random
import struct
from typing import Any

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(data: bytes, chance: random.Random, *, changes: int = 8) -> bytes:
    """``data`` with a few bytes changed, taken out, repeated or moved, or its end cut off; the beginning is hit often, since
    headers are there."""
    result = bytearray(data)
    for _ in range(chance.randint(1, chance.choice([1, 2, changes]))):
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


def damaged_text(text: str, chance: random.Random) -> str:
    """``text`` with lines, words and characters changed."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                lines[at] = chance.choice(lines)
            case 1:
                del lines[at : at + chance.randint(1, 3)]
                lines = lines or [""]
            case 2:
                lines.insert(at, lines[at])
            case 3:
                words = lines[at].split(" ")
                words[chance.randrange(len(words))] = chance.choice(_VALUES)
                lines[at] = " ".join(words)
            case 4:
                key, equals, _ = lines[at].partition("=")
                lines[at] = f"{key}{equals or '='} {chance.choice(_VALUES)}"
            case 5:
                middle = chance.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:middle] + chance.choice(_PIECES) + lines[at][middle:]
            case _:
                lines[at] = lines[at].removeprefix("#").strip()
    return "\n".join(lines)


def changed_json(value: Any, chance: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        match chance.randrange(8):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {**value, chance.choice(_PIECES): chance.choice(_JSON)}
            case _:
                return {**value, key: changed_json(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], changed_json(value[at], chance), *value[at + 1 :]][: chance.choice([None, at, at + 1])]
    if isinstance(value, float | int) and chance.random() < 0.3:
        return value * chance.choice([-1, 0, 0.5, 1e6, 1e300])
    return chance.choice(_JSON)


_PIECES = ("", "\0", "=", '"', "'", "[", "]]", "{", "}", "\\", "\ud800", "é", "\r", "\t", "#", "1e999", "://", "@", "../", "%s",
           "x" * 3000)  # fmt: skip
_VALUES = ("0", "-1", "1e308", "nan", "inf", "-inf", "true", '""', '"x"', "[]", "[[]]", "{}", "{a = 1}", "1979-05-27T07:32:00Z",
           "99999999999999999999", '"\\u0000"', "0x7fffffff", "''", '"rtsp://a:b@c"', "[1, 'a', {}]", "[" * 500, "=",
           "")  # fmt: skip
_JSON = (None, True, 0, -1, 1, 2**31, 2**63, 2**70, 0.5, 1e308, -1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800",
         [], {}, [[]], {"": 1}, [None] * 50, "a" * 64, "/etc/passwd", "../x.onnx")  # fmt: skip
