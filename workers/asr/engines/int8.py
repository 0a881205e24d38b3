"""Makes a graph multiply in 8 bits: a decoder reads all its weights for every token, and waits for them.

Weights get one scale a column, activations one a product, found as it runs. The operators are ONNX's own
(DynamicQuantizeLinear, MatMulInteger); ONNX Runtime fuses them. Arithmetic: Jacob et al., "Quantization and Training
of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, section 2.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

LEAST_WEIGHTS: Final = 1 << 14
"""Smaller products are not worth the extra operators."""


def multiply_in_8_bits(model: onnx.ModelProto) -> None:
    """Change, in place, every product of a graph with a constant matrix on its right."""
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    signed = not _signed_saturates()
    nodes: list[onnx.NodeProto] = []
    made: set[str] = set()
    for node in graph.node:
        weights = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weights is None or len(weights.dims) != 2 or int(np.prod(weights.dims)) < LEAST_WEIGHTS:
            nodes.append(node)
            continue
        left, right, result = node.input[0], node.input[1], node.output[0]
        if left not in made:
            made.add(left)
            names = [f"{left}.u8", f"{left}.scale", f"{left}.zero"]
            nodes.append(helper.make_node("DynamicQuantizeLinear", [left], names))
        if right not in made:
            made.add(right)
            for name, array in zip(("i8", "scales", "zero"), quantised(weights, signed=signed), strict=True):
                graph.initializer.append(numpy_helper.from_array(array, f"{right}.{name}"))
        inputs = [f"{left}.u8", f"{right}.i8", f"{left}.zero", f"{right}.zero"]
        nodes += [
            helper.make_node("MatMulInteger", inputs, [f"{result}.i32"]),
            helper.make_node("Cast", [f"{result}.i32"], [f"{result}.f32"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{left}.scale", f"{right}.scales"], [f"{result}.scale"]),
            helper.make_node("Mul", [f"{result}.f32", f"{result}.scale"], [result]),
        ]
    needed = {name for node in nodes for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def quantised(
    weights: onnx.TensorProto, *, signed: bool
) -> tuple[NDArray[np.int8] | NDArray[np.uint8], NDArray[np.float32], NDArray[np.int8] | NDArray[np.uint8]]:
    """Return a matrix (rows, columns) in 8 bits, the scale of each column, and what stands for zero."""
    matrix = numpy_helper.to_array(weights)
    scales = np.abs(matrix).max(axis=0) / 127
    scales[scales == 0] = 1
    whole = np.rint(matrix / scales)
    if signed:
        return whole.astype(np.int8), scales.astype(np.float32), np.zeros((), np.int8)
    return (whole + 128).astype(np.uint8), scales.astype(np.float32), np.array(128, np.uint8)


def _signed_saturates() -> bool:
    """Return True on x86 processors without VNNI: their sums of signed products stop at 16 bits."""
    if platform.machine().lower() not in {"x86_64", "amd64", "i686", "x86"}:
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
