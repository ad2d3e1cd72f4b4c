"""Runs cases in a process that may die of them."""

from __future__ import annotations

import gc
import logging
import random
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from ferengine.errors import FerengineError
from fuzzing.kinds import make_cases

SECONDS = 60
"""After so many a case hangs; the signal's default action then ends the process, wherever it is."""
GROWTH_MB = 48.0
"""How far memory may grow over all cases but the first few."""
ADDRESSES = 16 << 30
"""Bytes of address space: what asks for more gets an error and not the memory of the machine."""


def anonymous_mb() -> float:
    """This process's own memory in MiB."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def main(kind: str, first: int, count: int, *, sanitized: bool = False) -> int:
    """Run cases, in a process with a sanitizer (which keeps what was freed) without limits of memory; returns the exit code."""
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    logging.disable(logging.CRITICAL)
    settled = 0.0
    refused = 0
    with tempfile.TemporaryDirectory(prefix="ferengine-fuzz-") as folder:
        cases = make_cases(kind, Path(folder))
        try:
            for number in range(first, first + count):
                print("case", number, flush=True)
                signal.alarm(SECONDS)
                try:
                    cases.run(random.Random(f"{kind} {number}"))
                except FerengineError:
                    refused += 1
                except BaseException:
                    traceback.print_exc()
                    return 1
                if number == first + count // 3:
                    settled = anonymous_mb()
        finally:
            signal.alarm(SECONDS)
            cases.close()
    growth = anonymous_mb() - settled
    print(f"{count} cases, {refused} refused, memory {growth:+.1f} MiB")
    return 1 if growth > GROWTH_MB and not sanitized else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sanitized="--sanitized" in sys.argv))
