"""Weights come out of a checkpoint, and nothing else does."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from workers.asr.speakers.checkpoint import MAGIC, PROTOCOL, CheckpointError, read_tensors

NUMBERS = np.arange(6, dtype="<f4")


def checkpoint(objects: bytes, *, keys: tuple[str, ...] = ("7",), data: NDArray[np.float32] = NUMBERS) -> bytes:
    """A file of the old form around a pickle."""
    file = io.BytesIO()
    for value in (MAGIC, PROTOCOL, {"little_endian": True}):
        file.write(pickle.dumps(value, protocol=2))
    file.write(objects)
    file.write(pickle.dumps(list(keys), protocol=2))
    for _ in keys:
        file.write(len(data).to_bytes(8, "little") + data.tobytes())
    return file.getvalue()


def tensor(*, strides: str = "K\x03K\x01", function: str = "torch._utils\n_rebuild_tensor_v2") -> bytes:
    """A pickle of {'state': OrderedDict(w=a tensor of shape (2, 3))}, opcode by opcode."""
    pid = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x06NtQ"
    rebuilt = b"c" + function.encode() + b"\n(" + pid + b"K\x00K\x02K\x03\x86" + strides.encode() + b"\x86\x89NtR"
    ordered = b"ccollections\nOrderedDict\n)R"
    return b"\x80\x02}X\x05\x00\x00\x00state" + ordered + b"X\x01\x00\x00\x00w" + rebuilt + b"ss."


def test_tensors_come_out() -> None:
    read = read_tensors(checkpoint(tensor()), "state")
    assert list(read) == ["w"]
    assert read["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "asked",
    [
        "posix\nsystem",
        "builtins\neval",
        "os\npopen",
        "torch\nload",
        "collections\nCounter",
        "torch._utils\n_rebuild_qtensor",
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(asked: str) -> None:
    with pytest.raises(CheckpointError, match="which is no weight"):
        read_tensors(checkpoint(tensor(function=asked)), "state")


def test_nothing_is_run(tmp_path: Path) -> None:
    class Foreign:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "owned"),)

    for raw in (checkpoint(pickle.dumps({"state": Foreign()}, protocol=2)), pickle.dumps(Foreign())):
        with pytest.raises(CheckpointError):
            read_tensors(raw, "state")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK\x03\x04 a zip",
        pickle.dumps(1),
        checkpoint(tensor())[:-4],
        checkpoint(tensor(), data=NUMBERS[:5]),
        checkpoint(tensor(), keys=("8",)),
        checkpoint(tensor(strides="K\x01K\x02")),
        checkpoint(pickle.dumps({"other": OrderedDict()}, protocol=2)),
        checkpoint(pickle.dumps({"state": 5}, protocol=2)),
    ],
)
def test_what_is_no_checkpoint_is_refused(raw: bytes) -> None:
    with pytest.raises(CheckpointError):
        read_tensors(raw, "state")
