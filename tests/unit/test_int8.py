"""A product in 8 bits is the product, give or take a rounding."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from workers.asr.engines import int8


def two_products(left: NDArray[np.float32], right: NDArray[np.float32]) -> onnx.ModelProto:
    """Return a graph of x @ left and x @ right."""
    rows, columns = left.shape
    nodes = [helper.make_node("MatMul", ["x", name], [f"y_{name}"]) for name in ("left", "right")]
    outputs = [
        helper.make_tensor_value_info(f"y_{name}", TensorProto.FLOAT, [None, columns]) for name in ("left", "right")
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, rows])],
        outputs,
        [numpy_helper.from_array(left, "left"), numpy_helper.from_array(right, "right")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return list(ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x}))


@pytest.mark.parametrize("saturates", [False, True])
def test_products_stay_what_they_were_within_a_rounding(monkeypatch: pytest.MonkeyPatch, saturates: bool) -> None:
    monkeypatch.setattr(int8, "_signed_saturates", lambda: saturates)
    random = np.random.default_rng(7)
    left, right = (random.normal(0, 0.05, (256, 128)).astype(np.float32) for _ in range(2))
    left[:, 3] = 0
    x = random.normal(0, 1, (5, 256)).astype(np.float32)
    model = two_products(left, right)
    int8.multiply_in_8_bits(model)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DynamicQuantizeLinear") == 1
    assert kinds.count("MatMulInteger") == 2
    assert not {"left", "right"} & {constant.name for constant in model.graph.initializer}
    for found, exact in zip(run(model, x), (x @ left, x @ right), strict=True):
        assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()
        assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.999


def test_small_products_are_left_alone() -> None:
    model = two_products(np.ones((8, 8), np.float32), np.ones((8, 8), np.float32))
    before = model.SerializeToString()
    int8.multiply_in_8_bits(model)
    assert model.SerializeToString() == before
