"""A streaming transducer small enough to be written down: it hears tones, and says a word when one begins.

The graphs have the inputs, outputs, states and metadata of a published online Zipformer, so the real sherpa-onnx loads
and runs them; only the weights are ours. It knows nothing of speech: it shows that streams, chunks, tails, batches and
times are handled as sherpa-onnx wants it. How well a real model hears is what tests/contract/test_engines.py asks, of
a folder named by HEARLINE_SHERPA_MODEL.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RATE_HZ = 16_000
TONES_HZ = {"ONE": 400, "TWO": 900, "THREE": 1800, "FOUR": 3400}
TOKENS = ["<blk>", *(f"\u2581{word}" for word in TONES_HZ), "<unk>"]
CHUNK_FRAMES, CONTEXT_FRAMES, STRIDE = 32, 13, 4
LOUD = 4.0
"""A band's log energy has to be so far above the mean of all bands before it counts as a tone."""


def write_toy(folder: Path) -> Path:
    """Fill a folder as the makers of such models do."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{token} {index}" for index, token in enumerate(TOKENS)]
    (folder / "tokens.txt").write_text("\n".join(lines) + "\n")
    onnx.save(_encoder(), folder / "encoder-toy-chunk-16-left-64.onnx")
    onnx.save(_decoder(), folder / "decoder-toy-chunk-16-left-64.onnx")
    onnx.save(_joiner(), folder / "joiner-toy-chunk-16-left-64.onnx")
    return folder


def tone(word: str, seconds: float) -> NDArray[np.float32]:
    """What the toy hears as `word`; an empty word is silence."""
    moments = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    if not word:
        return np.random.default_rng(0).normal(0, 1e-3, moments.size).astype(np.float32)
    return (0.3 * np.sin(2 * np.pi * TONES_HZ[word] * moments)).astype(np.float32)


def _band(frequency_hz: float) -> int:
    """The one of 80 mel bands between 20 Hz and 7.6 kHz that a tone falls into."""

    def mel(hz: float) -> float:
        return 1127 * float(np.log(1 + hz / 700))

    low, high = mel(20), mel(7600)
    return round((mel(frequency_hz) - low) / (high - low) * 81) - 1


def _encoder() -> onnx.ModelProto:
    width = len(TOKENS)
    weights = np.full((80, width), 0.0, np.float32)
    for index, frequency_hz in enumerate(TONES_HZ.values(), start=1):
        weights[:, index] = -1 / 77
        around = _band(frequency_hz)
        weights[around - 1 : around + 2, index] = 1 / 3
    bias = np.zeros(width, np.float32)
    bias[0] = LOUD  # silence, unless a band is louder than this
    bias[-1] = -100.0
    state_shapes: dict[str, list[int | str]] = {
        "cached_key_0": [2, "N", 4],
        "cached_nonlin_attn_0": [1, "N", 2, 6],
        "cached_val1_0": [2, "N", 4],
        "cached_val2_0": [2, "N", 4],
        "cached_conv1_0": ["N", 8, 1],
        "cached_conv2_0": ["N", 8, 1],
        "embed_states": ["N", 128, 3, 19],
    }
    constants = {
        "weights": weights,
        "bias": bias,
        "from": np.array([0], np.int64),
        "to": np.array([CHUNK_FRAMES], np.int64),
        "axis": np.array([1], np.int64),
        "stride": np.array([STRIDE], np.int64),
        "frames": np.array(CHUNK_FRAMES, np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axis", "stride"], ["kept"]),
        helper.make_node("MatMul", ["kept", "weights"], ["bands"]),
        helper.make_node("Add", ["bands", "bias"], ["encoder_out"]),
        helper.make_node("Add", ["processed_lens", "frames"], ["new_processed_lens"]),
    ]
    nodes += [helper.make_node("Identity", [name], [f"new_{name}"]) for name in state_shapes]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", CHUNK_FRAMES + CONTEXT_FRAMES, 80])]
    outputs = [helper.make_tensor_value_info("encoder_out", TensorProto.FLOAT, ["N", CHUNK_FRAMES // STRIDE, width])]
    for name, shape in state_shapes.items():
        inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info(f"new_{name}", TensorProto.FLOAT, shape))
    inputs.append(helper.make_tensor_value_info("processed_lens", TensorProto.INT64, ["N"]))
    outputs.append(helper.make_tensor_value_info("new_processed_lens", TensorProto.INT64, ["N"]))
    about = {
        "model_type": "zipformer2",
        "version": "1",
        "encoder_dims": "8",
        "query_head_dims": "4",
        "value_head_dims": "4",
        "num_heads": "1",
        "num_encoder_layers": "1",
        "cnn_module_kernels": "3",
        "left_context_len": "2",
        "T": str(CHUNK_FRAMES + CONTEXT_FRAMES),
        "decode_chunk_len": str(CHUNK_FRAMES),
    }
    return _model("encoder", nodes, inputs, outputs, constants, about)


def _decoder() -> onnx.ModelProto:
    """What was said last is not said again: its score goes down."""
    width = len(TOKENS)
    table = np.zeros((width, width), np.float32)
    for index in range(1, width):
        table[index, index] = -100.0
    nodes = [
        helper.make_node("Slice", ["y", "from", "to", "axis"], ["last"]),
        helper.make_node("Squeeze", ["last", "axis"], ["token"]),
        helper.make_node("Gather", ["table", "token"], ["decoder_out"]),
    ]
    constants = {
        "table": table,
        "from": np.array([1], np.int64),
        "to": np.array([2], np.int64),
        "axis": np.array([1], np.int64),
    }
    return _model(
        "decoder",
        nodes,
        [helper.make_tensor_value_info("y", TensorProto.INT64, ["N", 2])],
        [helper.make_tensor_value_info("decoder_out", TensorProto.FLOAT, ["N", width])],
        constants,
        {"context_size": "2", "vocab_size": str(width)},
    )


def _joiner() -> onnx.ModelProto:
    width = len(TOKENS)
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]) for name in ("encoder_out", "decoder_out")
    ]
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", width])
    node = helper.make_node("Add", ["encoder_out", "decoder_out"], ["logit"])
    return _model("joiner", [node], sides, [logit], {}, {"joiner_dim": str(width)})


def _model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, NDArray[np.generic]],
    about: dict[str, str],
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, constant) for constant, array in constants.items()]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    return model
