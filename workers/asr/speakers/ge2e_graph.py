"""Makes the graph that runs out of the published GE2E weights: three LSTM layers and one that projects."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from workers.asr.speakers.checkpoint import read_tensors

CHECKPOINT: Final = "pretrained.pt"
GRAPH: Final = "encoder.onnx"
MELS: Final = 40
SIZE: Final = 256
"""Of a hidden state, and of an embedding."""
_LAYERS: Final = 3
_GATES: Final = (0, 3, 1, 2)
"""Where ONNX's gates (input, output, forget, cell) are among PyTorch's (input, forget, cell, output)."""
_OPSET: Final = 17


def build(published: Path, ready: Path) -> None:
    """Write the graph: `mels` float32 (frames, windows, 40) in, `embeddings` float32 (windows, 256) out."""
    weights = read_tensors((published / CHECKPOINT).read_bytes(), "model_state")
    nodes, constants, before, last = [], [], "mels", ""
    for layer in range(_LAYERS):
        names = [f"{kind}{layer}" for kind in ("weights", "recurrent", "bias")]
        values = (
            _by_gate(weights[f"lstm.weight_ih_l{layer}"]),
            _by_gate(weights[f"lstm.weight_hh_l{layer}"]),
            np.concatenate([_by_gate(weights[f"lstm.bias_{which}_l{layer}"]) for which in ("ih", "hh")]),
        )
        constants += [numpy_helper.from_array(value[None], name) for name, value in zip(names, values, strict=True)]
        out, last = f"out{layer}", f"last{layer}"
        nodes.append(helper.make_node("LSTM", [before, *names], [out, last], hidden_size=SIZE))
        before = f"layer{layer}"
        nodes.append(helper.make_node("Squeeze", [out, "direction"], [before]))
    nodes += [
        helper.make_node("Squeeze", [last, "first"], ["state"]),
        helper.make_node("Gemm", ["state", "projection", "offset"], ["projected"], transB=1),
        helper.make_node("Relu", ["projected"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["embeddings"], axis=1, p=2),
    ]
    constants += [
        numpy_helper.from_array(np.array([1], np.int64), "direction"),
        numpy_helper.from_array(np.array([0], np.int64), "first"),
        numpy_helper.from_array(weights["linear.weight"], "projection"),
        numpy_helper.from_array(weights["linear.bias"], "offset"),
    ]
    graph = helper.make_graph(
        nodes,
        "ge2e",
        [helper.make_tensor_value_info("mels", TensorProto.FLOAT, ["frames", "windows", MELS])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["windows", SIZE])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(ready / GRAPH))


def _by_gate(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    gates = tensor.reshape(4, SIZE, *tensor.shape[1:])
    return np.ascontiguousarray(gates[list(_GATES)].reshape(tensor.shape))
