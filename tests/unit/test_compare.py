"""``ferengine compare``, and the multiply-adds of a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ferengine.errors import ModelError, UsageError
from ferengine.models.registry import list_models, load_model
from ferengine_tools import compare
from ferengine_tools.evaluation.graph_cost import multiply_adds


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speed is another test's."""
    monkeypatch.setattr(compare, "speeds", lambda classifier: {"1": 300.4, "8": 80.0, "32": 60.0})


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
    with pytest.raises(ModelError, match=r"the shape of 'h' .* cannot be told"):
        multiply_adds(graph(nodes, {"a": (4, 1, 3, 3)}, shape=("n", 1, "h", "w")))


def test_the_shipped_networks_cost_what_their_layers_do() -> None:
    for manifest in list_models():
        model = load_model(manifest.name).onnx
        found = multiply_adds(model)
        assert found > 1e6
        if manifest.mmac is not None:
            assert found / 1e6 == pytest.approx(manifest.mmac, abs=0.01)
        assert onnx.load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim[0].dim_param  # still free


def test_one_row_a_model_and_the_documents(bar_models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = bar_models.write(tmp_path, name="one", accuracy={"public": 0.5, "private": 0.6}, network="vgg")
    second = bar_models.write(tmp_path, name="two", task="gender", labels=("male", "female"), accuracy={"private": 0.9})
    compare.main([str(first), str(second), "--json"])
    written = json.loads(capsys.readouterr().out)
    assert written["document"] == {"accuracy": {"cnn": 0.5715, "vgg": 0.5883, "resnet18": 0.6}, "microseconds": 220}
    one, two = written["models"]
    assert (one["model"], one["public"], one["private"], one["document"]) == ("one", 0.5, 0.6, 0.5883)
    assert (one["parameters"], one["mmac"], one["source"]) == (48 * 48 * 7, 0.02, "manifest")
    assert one["microseconds"] == {"1": 300.4, "8": 80.0, "32": 60.0}
    assert (two["task"], two["public"], two["private"], two["document"]) == ("gender", None, 0.9, None)

    compare.main([str(first), str(second), "--markdown"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| model | public % | private % | document % |")
    assert lines[2] == "| one | 50.00 | 60.00 | 58.83 | 16 | 0.0 | 0.1 | 300 | 80 | 60 |"
    assert lines[3].startswith("| two (gender) | - | 90.00 | - |")
    assert any(line.startswith("| resnet18, document | - | - | 60.00 |") for line in lines)
    assert any("| 220 |" in line for line in lines)

    compare.main([str(first), "--no-speed"])
    printed = capsys.readouterr().out
    assert "58.83" in printed
    assert "300" not in printed


def test_accuracies_are_measured_when_asked(
    bar_models: Any, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bar_models.write(tmp_path, accuracy={"public": 0.5, "private": 0.6})
    compare.main([str(model), "--measure", "--data", str(bars), "--json"])
    [row] = json.loads(capsys.readouterr().out)["models"]
    assert (row["public"], row["private"], row["source"]) == (1, 1, "measured")


def test_options_that_do_not_go_together(bars: Path) -> None:
    with pytest.raises(UsageError, match="--measure needs --data"):
        compare.main(["--measure"])
    with pytest.raises(UsageError, match="either --json or --markdown"):
        compare.main(["--json", "--markdown"])
    with pytest.raises(UsageError, match="there is no model 'nothing'"):
        compare.main(["nothing", "--no-speed"])


def test_every_line_has_a_cell_for_every_heading() -> None:
    header, lines = compare.cells(compare.compare(["dscnn"], None, timed=False))
    assert {len(line) for line in lines} == {len(header)}
