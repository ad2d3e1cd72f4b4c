"""Settings files, priors and texts that name sources."""

from __future__ import annotations

import json
import random
from pathlib import Path

from ferengine.cli.config import example_file
from ferengine.cli.config_file import load_settings
from ferengine.errors import FerengineError
from ferengine.models.priors import choose_prior
from ferengine.models.registry import load_model
from ferengine.sources import parse_source, unique_names
from fuzzing.mutations import changed_json, damaged, damaged_text


class Settings:
    """Settings files: the example with everything in it, its lines changed, and its bytes."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "case.toml"
        self._whole = (
            example_file() + '\n[[source]]\ndemo = "stroll"\nname = "a"\n[[source]]\nurl = "rtsp://me:secret@host/live"\n'
        )

    def run(self, chance: random.Random) -> None:
        if chance.random() < 0.8:
            self._path.write_bytes(damaged_text(self._whole, chance).encode(errors="surrogatepass"))
        else:
            self._path.write_bytes(damaged(self._whole.encode(), chance))
        load_settings(self._path).specs()

    def close(self) -> None: ...


class Priors:
    """Files of priors, JSON and TOML."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = load_model("dscnn").manifest
        self._values = {label: 1 / len(self._manifest.labels) for label in self._manifest.labels}

    def run(self, chance: random.Random) -> None:
        if chance.random() < 0.5:
            path = self._folder / "case.json"
            text = json.dumps(changed_json(self._values, chance)) if chance.random() < 0.7 else json.dumps(self._values)
        else:
            path = self._folder / "case.toml"
            text = "\n".join(f"{label} = {value}" for label, value in self._values.items())
        data = damaged_text(text, chance).encode(errors="surrogatepass") if chance.random() < 0.7 else text.encode()
        path.write_bytes(damaged(data, chance) if chance.random() < 0.3 else data)
        prior = choose_prior(self._manifest, str(path))
        assert prior is not None
        assert abs(sum(prior.probabilities) - 1) < 1e-6

    def close(self) -> None: ...


class SourceTexts:
    """Texts that name sources, as on the command line."""

    def __init__(self, folder: Path) -> None:
        self._texts = ["0", "/dev/video3", "talk.mp4", "door=rtsp://me:pass@10.0.0.7:554/live?x=1", "demo:crossing",
                       "images/*.jpg", "http://[::1]:8080/mjpeg", "a=b=c", str(folder), "udp://@239.0.0.1:1234", "-",
                       "file:///x"]  # fmt: skip

    def run(self, chance: random.Random) -> None:
        text = damaged_text(chance.choice(self._texts), chance)
        if chance.random() < 0.3:
            text = damaged(text.encode(errors="surrogatepass"), chance).decode(errors="surrogateescape")
        try:
            spec = parse_source(text)
        except FerengineError as error:
            if "me:pass@" in str(error):
                raise AssertionError("the message shows a password") from error
            raise
        assert spec.name
        assert "me:pass@" not in repr(spec)
        if spec.kind != "pipe":  # one is read once
            unique_names([spec, spec])

    def close(self) -> None: ...
