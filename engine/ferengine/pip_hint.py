"""The commands that install packages where this program would find them, for the hints of errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def pip_install(*arguments: str) -> str:
    """The command that installs something into the environment that this program runs in.

    It begins with ``pip install`` where a shell would find that environment's pip. Elsewhere (``.venv/bin/ferengine`` without
    activating ``.venv``, a service, an environment of uv) a plain ``pip`` would install into another environment, so the path
    of the right one is given.

    Args:
        arguments: As pip takes them, unquoted.
    """
    return _pip("install", *arguments)


def pip_replace(replaced: str, *arguments: str) -> str:
    """The commands that remove the distributions ``replaced``, and install ``arguments`` in their place.

    Distributions that hold the same module have to be removed first: a removal after it would take the new files, too.
    """
    return f"{_pip('uninstall', '-y', *replaced.split())} && {pip_install(*arguments)}"


def install_extra(extra: str) -> str:
    """The command that adds an extra of ferengine to this environment, from the checkout where ferengine runs from one
    without being installed."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import, and needed for errors only

    try:
        distribution("ferengine")
    except PackageNotFoundError:
        checkout = Path(__file__).parents[2]
        if (checkout / "pyproject.toml").is_file():
            return pip_install(f"{_short(checkout)}[{extra}]")
    return pip_install(f"ferengine[{extra}]")


def missing_package(error: ModuleNotFoundError) -> str | None:
    """What to say where a package is missing that every installation of ferengine has.

    Args:
        error: What its import raised. Its module has the name of the package.

    Returns:
        The name of the package, and the command that installs it; None for another module, and where ferengine runs without
        being installed.
    """
    import re  # as above
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("ferengine") or []
    except PackageNotFoundError:
        return None
    package = (error.name or "").partition(".")[0]
    for requirement in requirements:
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0]
        if name == package and "extra ==" not in requirement:
            return f"the package {package} is not installed: {pip_install(requirement)}"
    return None


def missing_in(said: str) -> str:
    """What ``missing_package`` says of the last line of a traceback, or the line itself where that has nothing to say."""
    _, is_missing, name = said.partition("ModuleNotFoundError: No module named ")
    return (missing_package(ModuleNotFoundError(name=name.strip("'"))) if is_missing else None) or said


def _pip(command: str, *arguments: str) -> str:
    from importlib.util import find_spec  # as above
    from shutil import which

    own = Path(sys.executable).parent  # not resolved: the Python of a virtual environment is a link
    found = which("pip")
    if found is not None and Path(found).parent == own:
        words = ["pip", command]
    elif (own / "pip").is_file():
        words = [_short(own / "pip"), command]
    elif which("uv") is not None or find_spec("pip") is None:  # whose environments have no pip; it asks nothing
        words = ["uv", "pip", command, "--python", _short(Path(sys.executable))]
        arguments = tuple(argument for argument in arguments if argument != "-y")
    else:
        words = [_short(Path(sys.executable)), "-m", "pip", command]
    return " ".join(map(_quoted, [*words, *arguments]))


def _short(path: Path) -> str:
    """``path``, from the current folder where it lies in that."""
    try:
        near = os.fspath(path.relative_to(Path.cwd()))
    except (OSError, ValueError):  # the current folder was deleted, or it lies elsewhere
        return os.fspath(path)
    # A word without a slash would be another program of the path, or the name of a package.
    return near if near == "." or os.sep in near else os.path.join(".", near)  # noqa: PTH118 - pathlib drops the dot


def _quoted(text: str) -> str:
    """``text`` as a shell reads it as one word. ``shlex.quote`` quotes more than a reader is used to, such as ~=."""
    from shlex import quote  # as above

    return text if all(letter.isalnum() or letter in "-_./=:+,~" for letter in text) else quote(text)
