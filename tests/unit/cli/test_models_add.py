"""``ferengine models add`` and ``remove``: a model is checked, kept in the user's folder, and found by its name everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data
from typer.testing import CliRunner, Result

from ferengine.classification.add_model import add_model
from ferengine.classification.classifier import Classifier
from ferengine.cli.app import app
from ferengine.errors import FerengineError, ModelError, UsageError
from ferengine.models.registry import added_models, load_model, user_models
from heads_help import AGE_GROUP, COLOUR, EXPRESSION, UNITS, WEIGHTS, network, write_heads


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "ferengine" / "models"


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)], env={"COLUMNS": "120"})


def refused(*arguments: object) -> FerengineError:
    done = models(*arguments)
    assert isinstance(done.exception, FerengineError), done.output
    assert "\n" not in str(done.exception)
    return done.exception


def test_an_added_model_is_found_by_its_name(tmp_path: Path, home: Path) -> None:
    path = write_heads(tmp_path, [EXPRESSION, UNITS])
    done = models("add", path)
    assert done.output.splitlines()[0] == "added mine: expression (2 classes), action_units (2 labels)"
    assert (user_models(), added_models()) == (home, ["mine"])
    assert sorted(each.name for each in home.iterdir()) == ["mine.json", "mine.onnx"]
    path.unlink()
    loaded = load_model("mine")
    assert (loaded.called, loaded.is_added, loaded.ships) == ("mine", True, False)
    assert Classifier("mine").labels == ("dim", "bright")
    [line] = [line for line in models().output.splitlines() if line.split()[:1] == ["mine"]]
    assert "expression, action_units" in line
    [record] = [each for each in json.loads(models("--json").output) if each["added"]]
    assert (record["name"], record["problem"]) == ("mine", None)
    card = models("mine").output
    assert "RGB crops of 24 x 24 pixels" in card
    assert "any of AU1, AU12" in card
    assert models("remove", "mine").output == "removed mine\n"
    assert added_models() == []
    assert isinstance(refused("mine"), UsageError)


def test_name_file_and_hash_may_be_left_out(tmp_path: Path) -> None:
    path = write_heads(tmp_path, [COLOUR], name="net")
    manifest = json.loads(path.with_suffix(".json").read_text())
    short = {key: manifest[key] for key in ("input", "heads", "licence", "intended_use")}
    (tmp_path / "about.json").write_text(json.dumps(short))
    assert models("add", path, "--manifest", tmp_path / "about.json").exit_code == 0
    assert load_model("net").manifest.sha256 == manifest["sha256"]
    assert models("add", path, "--manifest", tmp_path / "about.json", "--name", "warm-2").exit_code == 0
    assert added_models() == ["net", "warm-2"]


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    path = write_heads(tmp_path, [COLOUR])
    assert models("add", path).exit_code == 0
    assert "already: choose another --name, or --overwrite" in str(refused("add", path))
    assert models("add", path, "--overwrite").exit_code == 0
    assert "called standard ships" in str(refused("add", path, "--name", "standard"))
    for name in ("../mine", "My model", "-x", ""):
        assert isinstance(refused("add", path, "--name", name or " "), UsageError)


def with_softmax() -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    [last] = [node for node in model.graph.node if node.op_type == "Gemm"]
    last.output[0] = "logits"
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["age_group"], axis=1))
    return bytes(model.SerializeToString())


def with_batch_statistics() -> bytes:
    """The mean over the batch is subtracted, as by a normalisation that was exported while it trained."""
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    [last] = [node for node in model.graph.node if node.op_type == "Gemm"]
    last.output[0] = "logits"
    model.graph.node.append(helper.make_node("ReduceMean", ["logits"], ["mean"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Sub", ["logits", "mean"], ["age_group"]))
    return bytes(model.SerializeToString())


def not_finite_on_black() -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": (np.eye(3), [0.0, 0.0, 0.0])}))
    [last] = [node for node in model.graph.node if node.op_type == "Gemm"]
    last.output[0] = "means_again"
    model.graph.node.append(helper.make_node("Log", ["means_again"], ["age_group"]))
    return bytes(model.SerializeToString())


def fixed_batch() -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return bytes(model.SerializeToString())


def changed(*, dim: int = 24, opset: int = 17, ir: int = 8, operator: str = "Flatten") -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = dim
    model.opset_import[0].version, model.ir_version = opset, ir
    model.graph.node[1].op_type = operator
    return bytes(model.SerializeToString())


def weights_elsewhere() -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    set_external_data(model.graph.initializer[0], "weights.bin")
    return bytes(model.SerializeToString())


def of_integers() -> bytes:
    model = onnx.load_from_string(network(24, 3, {"age_group": WEIGHTS["age_group"]}))
    [last] = [node for node in model.graph.node if node.op_type == "Gemm"]
    last.output[0] = "logits"
    model.graph.node.append(helper.make_node("Cast", ["logits"], ["age_group"], to=TensorProto.INT64))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return bytes(model.SerializeToString())


BROKEN: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "probabilities": (with_softmax(), {}, "the head age_group gives probabilities, not logits: remove its softmax"),
    "batch statistics": (with_batch_statistics(), {}, "depend on the other faces of a batch, or on chance"),
    "not finite": (not_finite_on_black(), {}, "scores that are not finite"),
    "a fixed batch": (fixed_batch(), {}, "it takes (1, 3, 24, 24): export it with a dynamic batch"),
    "another size": (changed(dim=48), {}, "it takes (N, 3, 24, 48): correct size and channels in the manifest"),
    "channels last": (network(3, 24, {"age_group": (np.ones((24, 3)), [0.0] * 3)}), {}, "with the channels before height"),
    "a new opset": (changed(opset=99), {}, "it has opset 99, and the newest known is"),
    "a new IR version": (changed(ir=99), {}, "it has IR version 99, and the newest known is"),
    "an unknown operator": (changed(operator="Pool"), {}, "cannot load the network: This is an invalid model"),
    "integers": (of_integers(), {}, "must be float32"),
    "no network": (b"no network", {}, "cannot load the network: it is no ONNX file, or it is damaged"),
    "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), {}, "it is no ONNX file, or it is damaged"),
    "weights elsewhere": (weights_elsewhere(), {}, "mine.onnx keeps weights in other files"),
    "another file": (with_softmax(), {"sha256": "0" * 64}, "(SHA-256 differs): leave sha256 out"),
    "other labels": (with_batch_statistics(), {"heads": [AGE_GROUP | {"labels": ["young", "old"]}]}, "names 2 labels"),
    "a field too many": (
        with_batch_statistics(),
        {"temprature": 1},
        "is not a manifest: there is no temprature: did you mean 'temperature'?",
    ),
    "a field too many of a head": (
        with_batch_statistics(),
        {"heads": [AGE_GROUP | {"smooth": 1}]},
        "is not a manifest: there is no heads.0.smooth: did you mean 'smoothing'?",
    ),
    "a name that is no key": (
        fixed_batch(),
        {"heads": [AGE_GROUP | {"name": "Age group"}]},
        "heads.0.name: up to 32 lower-case letters, digits and underscores, the first a letter, not 'Age group'",
    ),
    "an output that is not there": (
        network(24, 3, {"age_group": WEIGHTS["age_group"]}),
        {"heads": [AGE_GROUP | {"output": "age"}]},
        "its network has no output 'age' for the head age_group, only age_group",
    ),
    "a word that is no kind": (
        fixed_batch(),
        {"heads": [AGE_GROUP | {"kind": "class"}]},
        "heads.0.kind: input should be 'classes', 'labels' or 'values', not",
    ),
    "two numbers for three channels": (
        fixed_batch(),
        {"input": {"size": 24, "channels": 3, "mean": [0, 1], "std": 1}},
        "manifest: input.mean: one number, or one for each of three channels, not 2",
    ),
    "no deviation": (
        fixed_batch(),
        {"input": {"size": 24, "channels": 3, "mean": 0, "std": 0}},
        "input.std: input should be greater than 0, not 0",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_with_a_network_is_found_when_it_is_added(tmp_path: Path, home: Path, case: str) -> None:
    data, changes, words = BROKEN[case]
    error = refused("add", write_heads(tmp_path, [AGE_GROUP], data=data, **changes))
    assert isinstance(error, ModelError)
    assert words in str(error)
    assert not home.exists() or list(home.iterdir()) == []


def test_notes_on_a_sigmoid_and_an_output_that_no_head_takes(tmp_path: Path) -> None:
    data = network(24, 3, {"action_units": ([[0.001, 0.0]] * 3, [0.1, 0.2]), "embedding": (np.eye(3), [0.0] * 3)})
    done = models("add", write_heads(tmp_path, [UNITS], data=data))
    assert "note: the head action_units gives numbers from 0 to 1 only: if it ends in a sigmoid, remove that" in done.output
    assert "note: no head takes the output embedding" in done.output


def test_files_that_are_not_there_or_no_manifest(tmp_path: Path) -> None:
    path = write_heads(tmp_path, [COLOUR])
    assert "cannot be read: No such file" in str(refused("add", tmp_path / "none.onnx"))
    assert "cannot be read: No such file" in str(refused("add", path, "--manifest", tmp_path / "none.json"))
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(path.read_bytes())
    assert f'{bare} has no manifest: write {tmp_path / "bare.json"}, such as {{"labels": ' in str(refused("add", bare))
    (tmp_path / "list.json").write_text("[]")
    assert "holds no JSON object" in str(refused("add", path, "--manifest", tmp_path / "list.json"))
    assert "net.pt is no .onnx file: export the network to ONNX first" in str(refused("add", tmp_path / "net.pt"))
    assert "there is no added model 'standard': there is none" in str(refused("remove", "standard"))


@pytest.mark.parametrize("name", ["", ".", "/", "x" * 300])
def test_what_names_no_file_is_one_error(name: str) -> None:
    with pytest.raises(FerengineError):
        add_model(Path(name))


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    error = refused("add", write_heads(tmp_path, [COLOUR]))
    assert error.exit_code == 1
    assert "cannot be written: Not a directory: set XDG_DATA_HOME" in str(error)


def test_a_damaged_added_model_is_named_and_the_others_are_listed(tmp_path: Path, home: Path) -> None:
    assert models("add", write_heads(tmp_path, [COLOUR])).exit_code == 0
    (home / "mine.onnx").write_bytes(b"")
    done = models()
    assert done.exit_code == 1
    assert "SHA-256 differs" in done.stderr
    assert "standard *" in done.stdout
    (home / "mine.json").write_text("{}")
    done = models("--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["name"] == "accurate"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ferengine run --model st", ["standard", "standard-int8"]),
        ("ferengine image a.jpg --model mi", ["mine"]),
        ("ferengine models ", ["show", "add", "remove"]),
        ("ferengine models show f", ["fast", "fast-int8"]),
        ("ferengine models remove ", ["mine"]),
    ],
)
def test_names_of_models_are_completed(tmp_path: Path, line: str, words: list[str]) -> None:
    assert models("add", write_heads(tmp_path, [COLOUR])).exit_code == 0
    asked = {"_FERENGINE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    assert CliRunner().invoke(app, [], env=asked, prog_name="ferengine").output.split() == words
