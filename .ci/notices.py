"""Writes the licences of everything that a plain installation of ferengine consists of into one text file.

Usage: python .ci/notices.py FILE, with the Python of the environment that is passed on. Extras and tools are left out.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distribution, requires
from pathlib import Path


def closure(name: str) -> list[Distribution]:
    """``name`` and what it requires, without extras, each once, by name."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        wanted = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        if key in found:
            continue
        found[key] = distribution(wanted)
        for requirement in requires(wanted) or []:
            text, _, marker = requirement.partition(";")
            if marker and not _holds(marker):
                continue
            match = re.match(r"[\w.-]+", text)
            assert match is not None, requirement
            waiting.append(match[0])
    return [found[key] for key in sorted(found)]


def licence(item: Distribution) -> str:
    """What its metadata call its licence: an SPDX expression, a classifier, or the field of old."""
    metadata = item.metadata
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if text.startswith("License")]
    old = (metadata.get("License") or "").strip()
    texts = (metadata.get("License-Expression"), ", ".join(classifiers), old if "\n" not in old else "")
    return next(filter(None, texts), "see its files")


def texts(item: Distribution) -> list[tuple[str, str]]:
    """Name and contents of its licence files."""
    named = [file for file in item.files or [] if re.match(r"(?i)(licen[cs]e|copying|notice|thirdparty|third)", file.name)]
    paths = [(str(file), Path(str(item.locate_file(file)))) for file in named if file.suffix in ("", ".txt", ".md", ".rst")]
    return [(name, path.read_text(encoding="utf-8", errors="replace")) for name, path in paths if path.is_file()]


def libraries(item: Distribution) -> list[str]:
    """The shared libraries of others that its wheel brings along, without version and hash."""
    bundled = {file.name for file in item.files or [] if re.search(r"\.libs/", str(file)) and ".so" in file.name}
    return sorted({re.sub(r"(-[0-9a-f]{8}|\.so).*", "", name) for name in bundled})


def _holds(marker: str) -> bool:
    from packaging.markers import Marker

    return bool(Marker(marker).evaluate({"extra": ""}))


def main(out: Path) -> None:
    """Write ``out``."""
    lines = ["What a plain installation of ferengine consists of, and the licence of each part.", ""]
    items = closure("ferengine")
    lines += [f"{item.metadata['Name']} {item.version}: {licence(item)}" for item in items]
    for item in items:
        lines += ["", "=" * 100, f"{item.metadata['Name']} {item.version}: {licence(item)}"]
        if bundled := libraries(item):
            lines += ["", f"Its wheel contains these libraries of others: {', '.join(bundled)}"]
        for name, text in texts(item):
            lines += ["", f"--- {name}", "", text.rstrip()]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{out}: {len(items)} packages")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
