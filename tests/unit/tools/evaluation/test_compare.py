"""``ferengine compare``, and the multiply-adds of a graph."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from command_help import command
from ferengine.classification.classifier import Classifier
from ferengine.errors import ModelError, UsageError
from ferengine.models.registry import list_models, load_model
from ferengine_tools.evaluation import comparison, speed
from ferengine_tools.evaluation.faces import LabelledFaces
from ferengine_tools.evaluation.graph_cost import multiply_adds

compare, evaluate = command("compare"), command("evaluate")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is another test's."""
    for module in (comparison, speed):
        monkeypatch.setattr(module, "speeds", lambda classifier: {"1": 300.4, "8": 80.0, "32": 60.0})


def graph(nodes: list[Any], weights: dict[str, tuple[int, ...]], shape: tuple[Any, ...] = ("n", 1, 16, 16)) -> bytes:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", None))],
            [numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    ).SerializeToString()


def test_convolutions_and_products_count() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["h"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["h", "b", "c"], ["i"], group=4, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["i"], ["j"]),
        helper.make_node("Flatten", ["j"], ["k"]),
        helper.make_node("MatMul", ["k", "d"], ["l"]),
        helper.make_node("Gemm", ["l", "e", "f"], ["y"], transB=1),
    ]
    shapes = {"a": (4, 1, 3, 3), "b": (4, 1, 3, 3), "c": (4,), "d": (256, 10), "e": (7, 10), "f": (7,)}
    expected = 4 * 8 * 8 * 9 + 4 * 8 * 8 * 9 + 256 * 10 + 10 * 7
    assert multiply_adds(graph(nodes, shapes)) == expected


def test_quantised_convolutions_count_alike() -> None:
    """Weights behind a DequantizeLinear node."""
    weights = [
        numpy_helper.from_array(np.zeros((4, 1, 3, 3), np.int8), "q"),
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["h"]),
        helper.make_node("Flatten", ["h"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 1, 16, 16))]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 784))]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    assert multiply_adds(model.SerializeToString()) == 4 * 14 * 14 * 9


def test_a_graph_without_shapes_is_named() -> None:
    nodes = [helper.make_node("Conv", ["x", "a"], ["h"]), helper.make_node("Flatten", ["h"], ["y"])]
    with pytest.raises(ModelError, match=r"the shape of 'h' .* is not in the graph"):
        multiply_adds(graph(nodes, {"a": (4, 1, 3, 3)}, shape=("n", 1, "h", "w")))


def test_the_shipped_networks_cost_what_their_layers_do() -> None:
    for manifest in list_models():
        model = load_model(manifest.name).onnx
        found = multiply_adds(model)
        assert found > 1e6
        if manifest.mmac is not None:
            assert found / 1e6 == pytest.approx(manifest.mmac, abs=0.01)
        assert onnx.load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim[0].dim_param  # still free


def test_one_row_a_model_and_those_of_the_paper(bar_models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"public": 0.5, "private": 0.6, "private_without_copies": 0.55, "macro_f1": 0.4, "ece": 0.021}
    first = bar_models.write(tmp_path, name="one", accuracy=metrics, network="vgg")
    second = bar_models.write(tmp_path, name="two", task="gender", labels=("male", "female"), accuracy={"private": 0.9})
    compare([str(first), str(second), "--json"])
    written = json.loads(capsys.readouterr().out)
    assert written["paper"] == {"accuracy": {"cnn": 0.5715, "vgg": 0.5883, "resnet18": 0.6}, "microseconds": 220}
    one, two = written["models"]
    assert (one["model"], one["public"], one["private"], one["paper"]) == ("one", 0.5, 0.6, 0.5883)
    assert (one["parameters"], one["mmac"], one["source"]) == (48 * 48 * 7, 0.02, "manifest")
    assert (one["epochs"], one["seed"], one["seeds"], one["trained_on"]) == (0, 0, 1, "none")
    assert (one["private_without_copies"], one["macro_f1"], one["ece"]) == (0.55, 0.4, 0.021)
    assert one["microseconds"] == {"1": 300.4, "8": 80.0, "32": 60.0}
    assert (two["task"], two["public"], two["private"], two["paper"]) == ("gender", None, 0.9, None)

    compare([str(first), str(second), "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "| model | metrics | public % | private % | no copies % | F1 % | ECE | paper % | params k | MMAC | MB | us at 1 "
        "| us at 8 | us at 32 | epochs | seed | trained on |"
    )
    assert lines[2] == (
        "| one | manifest | 50.00 | 60.00 | 55.00 | 40.00 | 0.021 | 58.83 | 16 | 0.0 | 0.1 | 300 | 80 | 60 | 0 | 0 | none |"
    )
    assert lines[3].startswith("| two (gender) | manifest | - | 90.00 | - |")
    assert any(line.startswith("| resnet18, paper | paper | - | - | - | - | - | 60.00 |") for line in lines)
    assert any("| 220 |" in line for line in lines)
    assert {line.count("|") for line in lines if line.startswith("|")} == {18}

    compare([str(first), "--no-speed"])
    printed = capsys.readouterr().out
    assert "58.83" in printed
    assert "300" not in printed


def test_a_terminal_of_80_columns_has_three_whole_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    compare(["gender-int8", "dscnn"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [sum(line.startswith(name) for line in lines) for name in ("gender-int8 (gender, int8)", "dscnn ")] == [3, 3]
    assert sum(line.startswith("resnet18, paper") for line in lines) == 1  # has accuracies only
    assert not any("…" in line for line in lines)
    [metrics] = [line.split() for line in lines if line.startswith("dscnn ") and "manifest" in line]
    known = load_model("dscnn").manifest.accuracy
    assert metrics[:4] == ["dscnn", "manifest", f"{100 * (known.public or 0):.2f}", f"{100 * (known.private or 0):.2f}"]


def test_accuracies_are_measured_when_asked(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bar_models.write(tmp_path, accuracy={"public": 0.5, "private": 0.6, "seeds": 3}, temperature=0.01)
    rows = list(csv.reader(bars.open()))
    copied = next(row for row in rows if row[2] == "PrivateTest")
    wrong = ["1" if copied[0] == "0" else "0", copied[1], "PrivateTest"]  # a copy that is read as it is, and labelled otherwise
    path = tmp_path / "fer2013.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([*rows, wrong, [*copied[:2], "Training"]])
    compare([str(model), "--measure", "--data", str(path), "--json"])
    [row] = json.loads(capsys.readouterr().out)["models"]
    assert (row["public"], row["private"], row["source"], row["seeds"]) == (1, 14 / 15, "measured", 1)
    assert row["private_without_copies"] == 1
    evaluate(["--model", str(model), "--data", str(path), "--split", "private", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (row["macro_f1"], row["ece"]) == (found["macro_f1"], found["calibrated"]["ece"])


def test_each_row_says_where_its_metrics_come_from(
    bar_models: Any, bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two tasks and one set of data; with both sets; and a model of other classes, which neither can measure."""

    def faces(path: Path, split: str, cache: Path | None) -> LabelledFaces:
        labels = np.array([0, 0, 0, 1] if split == "test" else [0, 1])
        return LabelledFaces(np.zeros((len(labels), 48, 48), np.uint8), labels, ("male", "female"), tuple(map(str, labels)))

    monkeypatch.setattr(comparison, "utkface_faces", faces)
    expression = bar_models.write(tmp_path, name="one")
    gender = bar_models.write(
        tmp_path, name="two", task="gender", labels=("male", "female"), accuracy={"private": 0.9}, gain=0.0
    )  # ties go to the first
    other = bar_models.write(tmp_path, name="three", labels=("yes", "no"), accuracy={"private": 0.8})
    models = [str(expression), str(gender), str(other), "--measure", "--no-speed"]

    def measured(*options: str) -> list[tuple[str, float | None]]:
        compare([*models, *options, "--json"])
        return [(row["source"], row["private"]) for row in json.loads(capsys.readouterr().out)["models"]]

    assert measured("--data", str(bars)) == [("measured", 1), ("manifest", 0.9), ("manifest", 0.8)]
    assert measured("--gender-data", "u") == [("manifest", None), ("measured", 0.75), ("manifest", 0.8)]
    assert measured("--data", str(bars), "--gender-data", "u") == [("measured", 1), ("measured", 0.75), ("manifest", 0.8)]
    compare([*models, "--gender-data", "u", "--markdown"])
    assert "| two (gender) | measured | 50.00 | 75.00 | - |" in capsys.readouterr().out


def test_what_a_manifest_does_not_state_is_not_known(
    bar_models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare([str(bar_models.write(tmp_path, training={})), "--json"])
    [row] = json.loads(capsys.readouterr().out)["models"]
    assert (row["epochs"], row["seed"], row["trained_on"]) == (None, None, None)


def test_a_model_without_an_expression_has_its_time(bar_models: Any, tmp_path: Path) -> None:
    path = bar_models.write(tmp_path, labels=("years",))
    manifest = json.loads(path.with_suffix(".json").read_text())
    del manifest["labels"]
    manifest["heads"] = [{"name": "age", "kind": "values", "labels": ["years"], "ranges": {"years": [0, 100]}}]
    path.with_suffix(".json").write_text(json.dumps(manifest))
    assert speed.microseconds(Classifier(path), 2, seconds=0, least=1) > 0


def test_options_that_do_not_go_together(bars: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--measure needs --data"):
        compare(["--measure"])
    with pytest.raises(UsageError, match="--cache is for the crops of --gender-data"):
        compare(["--measure", "--data", str(bars), "--cache", str(tmp_path)])
    with pytest.raises(UsageError, match="and they need --measure"):
        compare(["--data", str(bars)])
    (tmp_path / "training.csv").write_text("".join(bars.read_text().splitlines(keepends=True)[:57]))
    with pytest.raises(UsageError, match=r"training\.csv has no faces of PublicTest, or none of PrivateTest"):
        compare(["--measure", "--data", str(tmp_path / "training.csv")])
    with pytest.raises(UsageError, match="either --json or --markdown"):
        compare(["--json", "--markdown"])
    with pytest.raises(UsageError, match="there is no model 'nothing'"):
        compare(["nothing", "--no-speed"])
