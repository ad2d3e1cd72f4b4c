"""Manifests and the registry: what is loaded is what the manifest describes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ferengine.errors import ModelError, UsageError
from ferengine.models.registry import DEFAULT, SHIPPED, list_models, load_model


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The default model outside the package."""
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED / f"{DEFAULT}{suffix}", tmp_path)
    return tmp_path / f"{DEFAULT}.onnx"


def edit(onnx: Path, change: dict[str, Any], remove: tuple[str, ...] = ()) -> None:
    path = onnx.with_suffix(".json")
    manifest = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({key: value for key, value in manifest.items() if key not in remove}))


@pytest.mark.parametrize("manifest", list_models(), ids=lambda manifest: manifest.name)
def test_a_shipped_model_is_what_its_manifest_says(manifest: Any) -> None:
    data = (SHIPPED / manifest.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == manifest.sha256
    assert len(data) < 8e6
    assert manifest.input.size == 48
    assert manifest.input.channels == 1
    assert manifest.accuracy.private is None or manifest.accuracy.private >= 0.62
    if manifest.task == "expression":
        assert sorted(manifest.labels) == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    assert load_model(manifest.name).onnx == data


def test_the_default_ships_and_every_file_has_a_manifest() -> None:
    assert DEFAULT in [manifest.name for manifest in list_models()]
    assert {path.name for path in SHIPPED.glob("*.onnx")} == {manifest.file for manifest in list_models()}


def test_what_is_shown_of_a_model_holds_no_network() -> None:
    model = load_model("fast")
    assert f"name={model.manifest.name!r}" in repr(model)
    assert len(repr(model)) < len(model.onnx) / 50


def test_a_path_loads_even_when_renamed(copy: Path) -> None:
    assert load_model(str(copy)).onnx == load_model(DEFAULT).onnx
    renamed = copy.with_name("mine.onnx")
    copy.rename(renamed)
    copy.with_suffix(".json").rename(renamed.with_suffix(".json"))
    assert load_model(renamed).path == renamed


def test_another_file_than_the_manifests_is_refused(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(ModelError, match=r"standard\.onnx.*SHA-256"):
        load_model(copy)


def test_manifest_of_another_file_is_refused(copy: Path) -> None:
    other = copy.with_name("other.onnx")
    other.write_bytes(b"another network")
    shutil.copy(copy.with_suffix(".json"), other.with_suffix(".json"))
    with pytest.raises(ModelError, match=r"other\.onnx.*SHA-256"):
        load_model(other)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match=f"'resnet9000'.*{DEFAULT}"):
        load_model("resnet9000")


@pytest.mark.parametrize("name", ["../shipped/dscnn", "", "DSCNN"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(UsageError, match="there is no model"):
        load_model(name)


def test_a_missing_file_and_a_missing_manifest_are_named(copy: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx does not exist"):
        load_model(copy.with_name("absent.onnx"))
    copy.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"has no manifest: write .*standard\.json, such as"):
        load_model(copy)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sha256": "abc"}, "sha256"),
        ({"labels": ["one"]}, "labels"),
        ({"labels": ["a", "a"]}, "distinct"),
        ({"temperature": 0}, "temperature"),
        ({"input": {"size": 48, "channels": 4, "mean": 0, "std": 1}}, "input.channels"),
        ({"input": {"size": 48, "channels": 1, "mean": 0, "std": 0}}, "input.std"),
        ({"accuracy": {"private": 66.3}}, "accuracy.private"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_a_damaged_manifest_names_the_field(copy: Path, change: dict[str, Any], field: str) -> None:
    edit(copy, change)
    with pytest.raises(ModelError, match=rf"standard\.json is not a manifest: .*{field}"):
        load_model(copy)


def test_a_manifest_without_labels_names_them(copy: Path) -> None:
    edit(copy, {}, remove=("labels",))
    with pytest.raises(ModelError, match="name labels, or heads"):
        load_model(copy)


@pytest.mark.parametrize("content", [b"", b'{"name": "dsc', b"\xff\xfe\x00broken", b"[]", b"[" * 50_000])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, content: bytes) -> None:
    copy.with_suffix(".json").write_bytes(content)
    with pytest.raises(ModelError, match=r"standard\.json is not a manifest"):
        load_model(copy)


def test_a_manifest_with_a_name_given_twice_is_refused(copy: Path) -> None:
    manifest = copy.with_suffix(".json")
    manifest.write_text(manifest.read_text().replace("{", '{"temperature": 3, ', 1))
    with pytest.raises(ModelError, match=r"standard\.json is not a manifest: 'temperature' is given twice"):
        load_model(copy)


@pytest.mark.parametrize("name", [f"{'x' * 300}.onnx", "/dev/null/x.onnx", "zero\0byte.onnx", f"{'d/' * 3000}x.onnx"])
def test_paths_that_the_system_refuses(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)
