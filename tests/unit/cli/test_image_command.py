"""``ferengine image``: several images, folders and patterns; one that fails does not stop the others."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ferengine.cli.app import app
from ferengine.cli.checks.drawn_face import SIDE, drawn_face
from ferengine.cli.images import CopyFolder, find_images, read_image
from ferengine.errors import SinkError, SourceError, UsageError
from ferengine.models.registry import load_model
from ferengine.vision import cv2


def image(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["image", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images of one face, one of none, and what is no image."""
    made = tmp_path / "shots"
    (made / "below").mkdir(parents=True)
    assert cv2.imwrite(str(made / "b.png"), drawn_face())
    assert cv2.imwrite(str(made / "below" / "b.png"), drawn_face())
    assert cv2.imwrite(str(made / "a.JPG"), np.zeros((40, 60, 3), np.uint8))
    (made / "notes.txt").write_text("no image")
    return made


def test_copies_are_blurred_where_asked(folder: Path, tmp_path: Path) -> None:
    found = []
    for name, options in (("plain", []), ("blurred", ["--blur", "--draw", "landmarks", "--draw", "pose"])):
        assert image(folder / "b.png", "--save", tmp_path / name, *options).exit_code == 0
        found.append(image(tmp_path / name / "b.png").stdout.splitlines()[0].rsplit(": ")[-1])
    assert found == ["1 face", "0 faces"]
    wrong = image(folder / "b.png", "--draw", "nose")
    assert isinstance(wrong.exception, UsageError)
    assert str(wrong.exception) == "--draw: input should be 'landmarks', 'pose' or 'heads', not 'nose'"


def test_faces_are_described_in_words(folder: Path) -> None:
    done = image(folder / "b.png")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert first == f"{folder / 'b.png'}: 1 face"
    assert " 138x193 at (89, 63), detected 99 %" in second
    assert done.stderr.splitlines()[-1] == "class prior: everyday"
    assert image(folder / "b.png", "--prior", "uniform").stderr.splitlines()[-1] == "class prior: uniform"
    assert "class prior" not in image(folder / "b.png", "--json").stderr + image(folder / "b.png", "--min-face", "400").stderr


def test_json_lines_for_a_folder_and_a_pattern(folder: Path) -> None:
    done = image(folder, str(folder / "**" / "*.png"), "--json")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(record["image"]).relative_to(folder) for record in records] == [
        Path("a.JPG"),
        Path("b.png"),
        Path("below/b.png"),
    ]
    assert [len(record["faces"]) for record in records] == [0, 1, 1]
    assert (records[1]["width"], records[1]["height"]) == (SIDE, SIDE)
    [face] = records[1]["faces"]
    assert set(face) == {"track", "box", "score", "track_confidence", "origin", "landmarks", "expression",
                         "pose", "quality"}  # fmt: skip
    assert sum(face["expression"]["scores"].values()) == pytest.approx(1, abs=1e-4)


def test_what_is_passed_over_is_said(folder: Path) -> None:
    pages = [drawn_face(), np.zeros((40, 60, 3), np.uint8)]
    assert cv2.imwritemulti(str(folder / "pages.tiff"), pages)
    done = image(folder, "--json")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3
    pages_said, *said = done.stderr.splitlines()
    assert (
        pages_said
        == f"{folder / 'pages.tiff'}: the first of its 2 images was read; ferengine run {folder / 'pages.tiff'} reads all"
    )
    assert said == [
        "left out, because they are not images: 1 (notes.txt)",
        "left out, because they are folders: name them, or a pattern with **: 1 (below)",
    ]
    for number in range(5):
        shutil.copy(folder / "pages.tiff", folder / f"pages{number}.tiff")
    names = [line.partition(":")[0] for line in image(folder).stderr.splitlines()]
    assert names[:3] == [str(folder / name) for name in ("pages.tiff", "pages0.tiff", "pages1.tiff")]
    assert names[3] == "of 3 more files with several images, only the first was read"
    for number in range(5):
        (folder / f"pages{number}.tiff").unlink()
    (folder / "pages.tiff").unlink()
    (folder / "notes.txt").unlink()
    assert image(str(folder / "*")).stderr.splitlines() == [
        "left out, because they are folders: name them, or a pattern with **: 1 (below)", "class prior: everyday"
    ]  # fmt: skip
    assert image(str(folder / "**")).stderr == "class prior: everyday\n"


def test_a_bad_file_does_not_stop_the_others(folder: Path) -> None:
    done = image("absent.png", folder / "notes.txt", folder / "b.png", str(folder / "*.gif"), "--json")
    assert done.exit_code == 1
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(folder / "b.png")]
    *errors, count = done.stderr.splitlines()
    assert count == "3 of 4 could not be read"
    for line, words in zip(
        errors, ("absent.png cannot be read: No such file", "notes.txt is not an image", "no file matches"), strict=True
    ):
        assert line.startswith("error: ")
        assert words in line


def test_names_of_files_bring_no_escape_sequence_to_the_terminal(folder: Path, tmp_path: Path) -> None:
    names = ("red\x1b[31m.png", "two\nlines.png")
    for name in names:
        (tmp_path / name).write_bytes((folder / "b.png").read_bytes())
    (tmp_path / "none\x1b[0m.png").write_bytes(b"")
    done = CliRunner().invoke(app, ["image", *(str(tmp_path / name) for name in names), str(tmp_path / "none\x1b[0m.png")])
    assert "\x1b" not in done.output
    assert f"{tmp_path}/red\\x1b[31m.png: 1 face\n" in done.stdout
    assert f"{tmp_path}/two\\nlines.png: 1 face\n" in done.stdout
    assert f"error: {tmp_path}/none\\x1b[0m.png is empty\n" in done.stderr


def test_standard_input_is_an_image(folder: Path, tmp_path: Path) -> None:
    data = (folder / "b.png").read_bytes()
    done = CliRunner().invoke(app, ["image", "-", "--json", "--save", str(tmp_path / "copies")], input=data)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["image"] == "/dev/stdin"
    assert len(json.loads(done.stdout)["faces"]) == 1
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["stdin.png"]


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_standard_input_that_is_no_image(data: bytes) -> None:
    done = CliRunner().invoke(app, ["image", "-"], input=data)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: standard input is ")


@pytest.mark.skipif(os.name != "posix", reason="pipes have names only there")
def test_a_named_pipe_is_read(folder: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = (folder / "b.png").read_bytes()
    with ThreadPoolExecutor() as writer:
        writer.submit(pipe.write_bytes, data)
        assert read_image(pipe).shape == (SIDE, SIDE, 3)


def test_annotated_copies(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "copies"
    done = image(str(folder / "**" / "*.png"), "--save", target)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in target.iterdir()) == ["b-2.png", "b.png"]
    assert done.stderr == f"written: {target} (2 images)\nclass prior: everyday\n"
    copy = read_image(target / "b.png")
    assert copy.shape == (SIDE, SIDE, 3)
    changed = (copy != drawn_face()).any(2)
    assert changed[100:200, 90:94].any()
    assert not changed[-15:].any()  # no corner text: a still has neither camera nor latency
    again = image(folder / "b.png", "--save", target)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert "written" not in again.stderr
    assert image(folder / "b.png", "--save", target, "--overwrite").exit_code == 0
    onto_itself = image(folder / "b.png", "--save", folder, "--overwrite")
    assert onto_itself.exit_code == 1
    assert "is the image itself" in onto_itself.stderr
    assert np.array_equal(read_image(folder / "b.png"), drawn_face())


def test_options_of_the_engine_arrive(folder: Path) -> None:
    assert image(folder / "b.png", "--min-face", "400").stdout.endswith("b.png: 0 faces\n")
    haar = json.loads(image(folder / "b.png", "--detector", "haar", "--json").stdout)
    assert haar["faces"][0]["landmarks"] is None
    unsure = json.loads(image(folder / "b.png", "--min-confidence", "0.99", "--json").stdout)
    assert unsure["faces"][0]["expression"]["label"] == "uncertain"
    said = image(folder / "b.png", "--min-confidence", "0.99").stdout.splitlines()[1]
    assert re.match(r"  uncertain, low score \(\w+ \d+ %\), ", said)


def test_prior_changes_the_scores_and_is_reported(folder: Path) -> None:
    records = {
        prior: json.loads(image(folder / "b.png", "--json", "--precision", "fp32", "--prior", prior).stdout)
        for prior in ("uniform", "everyday")
    }
    assert {prior: record["prior"] for prior, record in records.items()} == {"uniform": "uniform", "everyday": "everyday"}
    even, everyday = (records[name]["faces"][0]["expression"]["scores"] for name in ("uniform", "everyday"))
    manifest = load_model("standard").manifest
    sharper = manifest.temperature_under("uniform") / manifest.temperature_under("everyday")
    moved = {label: score**sharper * manifest.priors["everyday"][label] for label, score in even.items()}
    assert everyday == pytest.approx({label: value / sum(moved.values()) for label, value in moved.items()}, abs=2e-4)
    assert json.loads(image(folder / "b.png", "--json", "--precision", "fp32").stdout) == records["everyday"]
    error = image(folder / "b.png", "--prior", "sundays").exception
    assert isinstance(error, UsageError)
    assert str(error).startswith("the model standard has no prior 'sundays': choose one of uniform, fer2013, everyday")


@pytest.mark.parametrize("arguments", [(), ("--nonsense", "a.png"), ("--detect-every", "3", "a.png")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert image(*arguments).exit_code == 2


def test_a_wrong_value_names_its_option() -> None:
    error = image("a.png", "--min-face", "1").exception
    assert isinstance(error, UsageError)
    assert str(error).startswith("--min-face: ")


def test_all_kinds_of_images_become_bgr(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    for array in (np.full((8, 9), 70, np.uint8), np.full((8, 9), 70 * 257, np.uint16), np.full((8, 9, 4), 70, np.uint8)):
        assert cv2.imwrite(str(path), array)
        read = read_image(path)
        assert (read.dtype, read.shape) == (np.uint8, (8, 9, 3))
        assert np.abs(read.astype(int) - 70).max() <= 1
    named = tmp_path / "Tür [1].png"
    named.write_bytes(path.read_bytes())
    assert read_image(named).shape == (8, 9, 3)
    assert list(find_images([str(named)])) == [named]


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty.png", tmp_path / "broken.png"
    empty.touch()
    assert cv2.imwrite(str(broken), drawn_face())
    broken.write_bytes(broken.read_bytes()[:20])
    for path, words in (
        (empty, "is empty"),
        (broken, "damaged"),
        (tmp_path, "Is a directory"),
        (tmp_path / "no", "No such file"),
    ):
        with pytest.raises(SourceError, match=words) as caught:
            read_image(path)
        assert str(path) in str(caught.value)


def test_an_empty_folder_and_doubles(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    first, *rest = find_images([str(tmp_path / "empty"), str(folder / "b.png"), str(folder / "below" / ".." / "b.png")])
    assert isinstance(first, SourceError)
    assert "holds no images" in str(first)
    assert rest == [folder / "b.png"]


def test_folders_for_copies_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        CopyFolder(tmp_path / "file", overwrite=False)
    with pytest.raises(SinkError, match="cannot be created"):
        CopyFolder(tmp_path / "file" / "below", overwrite=False)
    copies = CopyFolder(tmp_path / "out", overwrite=False)
    assert copies.save(drawn_face(), Path("a.raw")).name == "a.png"
    (tmp_path / "out" / "b.png").symlink_to("/dev/full")
    with pytest.raises(SinkError, match=r"b\.png cannot be written: No space left"):
        CopyFolder(tmp_path / "out", overwrite=True).save(drawn_face(), Path("elsewhere") / "b.png")
    assert os.path.lexists(tmp_path / "out" / "a.png")


def test_one_bad_image_does_not_end_a_batch(folder: Path) -> None:
    """Of each kind: too wide, a bomb of 32000x32000 pixels in a few bytes, no image, a refused name."""
    wide, bomb, text = folder / "wide.jpg", folder / "bomb.png", folder / "text.jpg"
    assert cv2.imwrite(str(wide), np.zeros((20, 17000, 3), np.uint8))
    header = struct.pack(">IIBBBBB", 32000, 32000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk)))
    text.write_text("text")
    done = image(wide, bomb, text, "x" * 300, folder / "b.png")
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{folder / 'b.png'}: 1 face")
    errors = done.stderr.splitlines()
    assert [line.split(" ")[1] for line in errors[:3]] == [str(wide), str(bomb), str(text)]
    assert "17000x20 pixels, and 16384 a side is the maximum" in errors[0]
    assert "32000x32000 pixels" in errors[1]
    assert "File name too long" in errors[3]
    assert errors[4:] == ["4 of 5 could not be read", "class prior: everyday"]


def test_an_image_that_the_analyzer_refuses_does_not_end_a_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ferengine.analyzer import Analyzer

    analyze = Analyzer.analyze

    def refuse_small(self: Analyzer, image: Any) -> Any:
        if image.shape[0] == 40:
            raise MemoryError
        return analyze(self, image)

    monkeypatch.setattr(Analyzer, "analyze", refuse_small)
    done = image(folder)
    assert done.exit_code == 1
    assert f"{folder / 'a.JPG'} cannot be read: out of memory" in done.stderr
    assert "b.png: 1 face" in done.stdout


def test_names_that_are_not_utf8(folder: Path) -> None:
    latin = folder / os.fsdecode(b"b\xe9.png")
    (folder / "b.png").rename(latin)
    done = subprocess.run(
        [sys.executable, "-m", "ferengine", "image", str(folder), "--json", "--save", str(folder / "copies")],
        env={**os.environ, "PYTHONUTF8": "1"}, capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [Path(record["image"]).name for record in records] == ["a.JPG", latin.name]
    assert latin.name in {path.name for path in (folder / "copies").iterdir()}
