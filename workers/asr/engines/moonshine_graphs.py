"""Turns Moonshine's published graphs into three that plain ONNX Runtime runs fast.

Published: an encoder, and a merged decoder whose one `If` node holds two sub-graphs (first token; later tokens
with a cache). The base model keeps its weights as 8-bit integers outside the `If`, where ONNX Runtime converts
them back to floats again at every token: ten times the work of the decoding itself.

Written: `encoder.onnx` (audio -> hidden states), `cross.onnx` (hidden states -> the keys and values that the
decoder attends to, once an utterance) and `step.onnx` (one token, its cache, and the attention probabilities
from which word times are read). No `If` is left, so constants fold, and no weight is held twice. The sub-graph
for later tokens serves the first one too: its cache is just empty. `step.onnx` multiplies in 8 bits again, this time as
integers: half the time a token, and no more errors (docs/decisions/0011-going-on.md); the encoder in 8 bits made some.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from shutil import copyfile
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from workers.asr.engines.int8 import multiply_in_8_bits

ENCODER: Final = "encoder.onnx"
CROSS: Final = "cross.onnx"
STEP: Final = "step.onnx"
TOKENS: Final = "tokenizer.bin"

ALIGNMENT: Final = "alignment"
"""The output of `step.onnx` that tells where the decoder looked: shape (batch, 1, frames), sums to 1."""

HEADS: Final = 8

ALIGNMENT_HEADS: Final[dict[int, tuple[int, ...]]] = {
    6: (26, 16, 38, 24, 35, 43, 30, 46),
    8: (46, 53, 45, 34, 60, 49, 33, 52, 29, 32),
}
"""Number of decoder layers -> the cross-attention heads (layer * HEADS + head) that follow the audio.

Chosen once per model by how well each head alone places words, against Whisper base's word times on 37
recordings; the mean of these puts half of the word starts within 30 ms and nine tenths within 90 ms.
"""

_KV_SHAPE: Final = "hearline.kv_shape"


def build(published: Path, folder: Path) -> None:
    """Write the three graphs and the token table into `folder`. Raises ValueError on graphs of another make."""
    copyfile(published / TOKENS, folder / TOKENS)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        encoder, merged = Path(scratch, "encoder.onnx"), Path(scratch, "decoder.onnx")
        # ONNX Runtime folds nothing while it reads its own .ort format: hence ONNX first, then once more.
        _save_optimised(published / "encoder_model.ort", encoder)
        _save_optimised(published / "decoder_model_merged.ort", merged)
        _save_optimised(encoder, folder / ENCODER)
        decoder = onnx.load(merged)
        for name, graph in ((CROSS, _cross(decoder)), (STEP, _step(decoder))):
            onnx.save(graph, Path(scratch, name))
            _save_optimised(Path(scratch, name), folder / name)
        step = onnx.load(folder / STEP)
        multiply_in_8_bits(step)
        onnx.save(step, Path(scratch, STEP))
        _save_optimised(Path(scratch, STEP), folder / STEP)


def _save_optimised(source: Path, target: Path) -> None:
    """Load a graph and save it with constants folded and operators fused, as ONNX."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns that a saved graph suits like machines: EXTENDED suits every CPU
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ONNX")
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _branches(decoder: onnx.ModelProto) -> tuple[onnx.GraphProto, onnx.GraphProto]:
    """Return the sub-graphs (first token, later tokens)."""
    found = [node for node in decoder.graph.node if node.op_type == "If"]
    if len(found) != 1:
        raise ValueError(f"a merged decoder has one If node, not {len(found)}")
    graphs = {attribute.name: attribute.g for attribute in found[0].attribute}
    return graphs["else_branch"], graphs["then_branch"]


def _cross(decoder: onnx.ModelProto) -> onnx.ModelProto:
    first, _ = _branches(decoder)
    outputs = [output for output in decoder.graph.output if ".encoder." in output.name]
    maker = {name: node for node in first.node for name in node.output}
    # Each is Transpose(Reshape(MatMul(hidden states))). The published shape takes the batch size from the
    # decoder's own state, which would drag the whole decoder in; 0 copies it from the input instead.
    _, heads, _, width = (dimension.dim_value for dimension in outputs[0].type.tensor_type.shape.dim)
    first.initializer.append(numpy_helper.from_array(np.array([0, -1, heads, width], np.int64), _KV_SHAPE))
    for output in outputs:
        transpose = maker[output.name]
        reshape = maker[transpose.input[0]]
        if (transpose.op_type, reshape.op_type) != ("Transpose", "Reshape"):
            raise ValueError(f"{output.name} is not made by Transpose(Reshape(...))")
        reshape.input[1] = _KV_SHAPE
    return _extract(decoder, first, outputs, "cross")


def _step(decoder: onnx.ModelProto) -> onnx.ModelProto:
    _, later = _branches(decoder)
    outputs = [output for output in decoder.graph.output if ".encoder." not in output.name]
    layers = [node.output[0] for node in later.node if node.op_type == "Softmax" and "encoder_attn" in node.name]
    if len(layers) not in ALIGNMENT_HEADS:
        raise ValueError(f"no alignment heads are known for a decoder of {len(layers)} layers")
    heads = np.zeros(len(layers) * HEADS, np.float32)
    heads[list(ALIGNMENT_HEADS[len(layers)])] = 1 / len(ALIGNMENT_HEADS[len(layers)])
    later.initializer.append(numpy_helper.from_array(heads, "hearline.heads"))
    later.node.extend(
        [
            helper.make_node("Concat", layers, ["hearline.attention"], axis=1),
            helper.make_node("Einsum", ["hearline.attention", "hearline.heads"], [ALIGNMENT], equation="bhqf,h->bqf"),
        ]
    )
    alignment = helper.make_tensor_value_info(ALIGNMENT, TensorProto.FLOAT, ("batch_size", 1, None))
    return _extract(decoder, later, [*outputs, alignment], "step")


def _extract(
    decoder: onnx.ModelProto, branch: onnx.GraphProto, outputs: Iterable[onnx.ValueInfoProto], name: str
) -> onnx.ModelProto:
    """Return a model of its own with just those nodes and constants that `outputs` need."""
    outputs = list(outputs)
    nodes = [node for node in decoder.graph.node if node.op_type != "If"] + list(branch.node)
    maker = {output: index for index, node in enumerate(nodes) for output in node.output}
    constants = {constant.name: constant for graph in (decoder.graph, branch) for constant in graph.initializer}
    inputs = {value.name: value for value in decoder.graph.input}
    wanted = [output.name for output in outputs]
    seen: set[str] = {""}  # an optional input left out
    used: set[int] = set()
    while wanted:
        value = wanted.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in maker:
            used.add(maker[value])
            wanted += nodes[maker[value]].input
        elif value not in constants and value not in inputs:
            raise ValueError(f"nothing makes {value}")
    graph = helper.make_graph(
        [nodes[index] for index in sorted(used)],
        name,
        [value for key, value in inputs.items() if key in seen],
        outputs,
        [constant for key, constant in constants.items() if key in seen],
    )
    return helper.make_model(graph, opset_imports=decoder.opset_import, ir_version=decoder.ir_version)
