"""Settings from a TOML file: what arrives, and what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferengine.cli.config_file import key_line, load_settings
from ferengine.cli.settings import RunSettings
from ferengine.errors import UsageError


def load(tmp_path: Path, text: str) -> RunSettings:
    path = tmp_path / "run.toml"
    path.write_text(text)
    return load_settings(path)


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """The lines of the error, without the file's name."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    prefix = f"{tmp_path / 'run.toml'}:"
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_names_are_those_of_the_command_line_with_dashes_or_underscores(tmp_path: Path) -> None:
    settings = load(tmp_path, 'min-face = 20\ndetect_every = 3\nthresholds = [0.5, 0.6, 0.7]\nsave = "out"\nmodel = "x.onnx"\n')
    assert (settings.min_face, settings.detect_every, settings.thresholds) == (20.0, 3, (0.5, 0.6, 0.7))
    assert (settings.save, settings.model) == (Path("out"), "x.onnx")
    assert settings.model_fields_set == {"min_face", "detect_every", "thresholds", "save", "model"}


def test_a_file_as_other_systems_write_it(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b'\xef\xbb\xbfmin-face = 30\r\nmodel = "x.onnx"\r\n')
    settings = load_settings(path)
    assert (settings.min_face, settings.model) == (30, "x.onnx")


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing\n") == RunSettings()


def test_sources_as_a_list_and_as_tables(tmp_path: Path) -> None:
    listed = load(tmp_path, 'camera = [1]\nsource = ["talk.mp4", "demo:crossing"]\nloop = 2\n')
    assert [(spec.kind, spec.value, spec.loop, spec.pace) for spec in listed.specs()] == [
        ("camera", "1", 2, "fast"),
        ("file", "talk.mp4", 2, "fast"),
        ("demo", "crossing", 2, "fast"),
    ]
    tables = load(
        tmp_path,
        'pace = "fast"\n[[source]]\nname = "door"\ncamera = 0\n[[source]]\nfile = "0"\npace = "native"\nloop = 0\n'
        '[[source]]\ndemo = "stroll"\nname = "the demo"\n[[source]]\nfile = "/a/talk.mp4"\n',
    )
    assert [(spec.name, spec.kind, spec.value, spec.loop, spec.pace) for spec in tables.specs()] == [
        ("door", "camera", "0", 1, "fast"),
        ("0", "file", "./0", 0, "native"),
        ("the demo", "demo", "stroll", 1, "fast"),
        ("talk", "file", "/a/talk.mp4", 1, "fast"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a\n\nmin-fce = 3\n", ["3: unknown setting 'min-fce': did you mean 'min-face'?"]),
        ('min-face = "20"\n', ["1: min-face: input should be a valid number, not '20'"]),
        ("min_face = 1\n", ["1: min_face: input should be greater than or equal to 12, not 1"]),
        ("detect-every = true\n", ["1: detect-every: input should be a valid integer, not True"]),
        ("detect-every = 2.5\n", ["1: detect-every: input should be a valid integer, not 2.5"]),
        ("overwrite = 1\n", ["1: overwrite: input should be a valid boolean, not 1"]),
        ("events = 1979-05-27\nsave = 3\n", ["1: events: input should be a valid string", "2: save: input should be a valid"]),
        ('detector = "yolo"\n', ["1: detector: input should be 'auto', 'mtcnn', 'retinaface' or 'haar', not 'yolo'"]),
        ('\nthresholds = [\n  0.5,\n  "x",\n  0.6,\n]\n', ["2: thresholds.1: input should be a valid number, not 'x'"]),
        ("thresholds = [0.5]\n", ["1: thresholds.1: field required", "1: thresholds.2: field required"]),
        ("camera = 0\n", ["1: camera: input should be a valid array, not 0"]),
        ("[[sorce]]\ncamera = 0\n", ["1: there are no tables [[sorce]] here: write [[source]]"]),
        ("\n[[camera]]\nurl = 'rtsp://x/y'\n", ["2: there are no tables [[camera]] here: write [[source]]"]),
        ("[source]\ncamera = 0\n", ["1: [source] needs double brackets, [[source]]: there may be several"]),
        (
            "[engine]\nmin-face = 20\n",
            ["1: there is no table [engine] here: settings stand above all tables, which are [[source]]"],
        ),
        ("camera = [0, -1]\n", ["1: camera.1: a camera is a number or a device (/dev/video2, /dev/v4l/by-id/...), not -1"]),
        ('source = ["demo", 3]\n', ["1: source.1: input should be a valid string, not 3"]),
        ("[model]\nname = 3\n", ["1: model: input should be a valid string"]),
        ("loop = -1\n", ["1: loop: input should be greater than or equal to 0, not -1"]),
        (
            '[[source]]\nfile = "a"\n\n# b\n[[source]]\nlop = 2\nfile = "b"\nloop = "x"\n',
            ["6: unknown setting 'lop': did you mean 'loop'?", "8: loop: input should be a valid integer, not 'x'"],
        ),
        (
            '[[source]]\nfile = "a"\n[[source.zones]]\nname = "b"\npoints = [[0, 0], [1, 0], [1, 1]]\naction = "ignore"\n',
            ["6: unknown setting 'zones.0.action': known are kind, name, points"],
        ),
        ('[[source]]\nfile = "a"\n[[source]]\nname = "b"\n', ["3: source.1: a source needs exactly one of url, camera"]),
        ('[[source]]\nfile = "a"\nurl = "http://b"\n', ["1: source.0: a source needs exactly one of url, camera, file"]),
        ("[[source]]\ncamera = 1.5\n", ["2: camera: input should be a valid string, not 1.5"]),
        ("min-face = 20\nmin_face = 30\n", ["1: min-face is given twice, with a dash and an underscore"]),
        ("a = 1\na = 2\n", ["2: cannot overwrite a value"]),
        ("min-face = \n", ["1: invalid value"]),
        ("camera = [\n0,\n", ["2: invalid value"]),
        ("min-face = 1\nnonsense = 2\n", ["1: min-face: input should be greater than or equal to", "2: unknown setting"]),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == len(expected), found
    for mistake, start in zip(found, expected, strict=True):
        assert mistake.startswith(start), found


ZONES = """[[source]]
demo = "stroll"
outside-zones = "ignore"
[[source.zones]]
name = "hall"
points = [[0, 0], [0.5, 0], [0.5, 1]]
[[source.zones]]
name = "poster"
kind = "ignore"
points = [[0, 0], [1, 1], [1, 0], [0.5, 0.9]]
"""


def test_zones_of_a_source(tmp_path: Path) -> None:
    text = ZONES.replace("[0.5, 0.9]", "[0.5, 0.1]")
    [spec] = load(tmp_path, text).specs()
    assert [(zone.name, zone.kind, zone.points[1]) for zone in spec.zones] == [
        ("hall", "watch", (0.5, 0)), ("poster", "ignore", (1, 1)),
    ]  # fmt: skip
    assert spec.outside_zones == "ignore"
    [line] = mistakes(tmp_path, ZONES)
    assert line.startswith("10: zones.1.points: the lines from points 1 and 3 cross or touch")
    assert mistakes(tmp_path, text.replace("hall", "poster"))[0].startswith("4: zones: two zones are called 'poster'")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml cannot be read: No such file"):
        load_settings(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe4"\n')
    with pytest.raises(UsageError, match="not UTF-8"):
        load_settings(tmp_path / "latin.toml")


@given(
    st.lists(st.sampled_from(["# c", "", 'text = """\nnot-a-key = 1\n"""', "list = [\n  1, # x\n]", "a.b = 1", "[t]"])),
    st.data(),
)
def test_the_line_is_found_whatever_stands_around(before: list[str], data: st.DataObject) -> None:
    """Each statement may come once, and a table's header takes what follows."""
    unique = [line for number, line in enumerate(before) if line in ("", "# c") or line not in before[:number]]
    table = next((number for number, line in enumerate(unique) if line == "[t]"), None)
    lines = [*unique, "wanted = 1", *data.draw(st.lists(st.sampled_from(["", "# d"])))]
    text = "\n".join(lines)
    where = ("wanted",) if table is None else ("t", "wanted")
    assert text.splitlines()[key_line(text, where) - 1] == "wanted = 1"


@pytest.mark.parametrize(
    "text",
    ["save = " + "[" * 250 + "]" * 250, "save = " + "{a=" * 20_000],
    ids=["lists", "unclosed tables"],
)
def test_settings_that_are_nested_too_deeply_are_refused(text: str, tmp_path: Path) -> None:
    assert mistakes(tmp_path, text) == [" its tables or lists are nested too deeply"]


_HOSTILE = {
    "arrays": ("a = " + "[" * 100_000, "nested too deeply"),
    "closed arrays": ("a = " + "[" * 900 + "]" * 900, "nested too deeply|unknown setting"),
    "tables": ("a = " + "{a=" * 60_000, "nested too deeply"),
    "key": ("a." * 100_000 + "a = 1", ":1: a key of more than 64 parts"),
    "header": ("x = 1\n[" + "a." * 100_000 + "a]", ":2: a key of more than 64 parts"),
    "inline": ("a = {" + "'a'." * 50_000 + "a = 1}", ":1: a key of more than 64 parts"),
    "long number": ("fps = " + "9" * 5_000, "a number of thousands of digits, which no setting takes"),
    "hexadecimal": ("fps = 0x" + "f" * 5_000, "a number of thousands of digits, which no setting takes"),
    "infinite": ("fps = " + "9" * 400, r":1: fps: input should be a (?:finite|valid) number, not 9{40}\.\.\.$"),
    "size": ("# " + "a" * (1 << 18), "more than 262,144 bytes"),
    "many": ("".join(f"a{number} = 1\n" for number in range(1_000)), r"(?s):1: unknown setting 'a0'.*and 980 more mistakes"),
}


@pytest.mark.parametrize("kind", _HOSTILE)
def test_a_file_that_is_made_to_hang_the_parser_is_refused(tmp_path: Path, kind: str) -> None:
    text, said = _HOSTILE[kind]
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load_settings(path)


def test_many_cameras_in_one_line_are_no_long_key(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    names = [f"rtsp://10.0.0.{number}:554/live.sdp" for number in range(100)]
    path.write_text(f"epsilon = {names}\n")
    with pytest.raises(UsageError, match="unknown setting"):
        load_settings(path)


def test_a_url_that_stands_for_a_setting_shows_no_password(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for text in ('"rtsp://me:PW@cam/live" = 1', '[[source]]\ndemo = "stroll"\n"me:PW@10.0.0.7/live" = 1'):
        path.write_text(text)
        with pytest.raises(UsageError, match="unknown setting") as caught:
            load_settings(path)
        assert "PW" not in str(caught.value)
