"""Reads the weights out of a PyTorch checkpoint without PyTorch, and without running anything that it says.

A checkpoint is a pickle, and a pickle may name any function to be called. Here three names mean something, each of
them a stand-in of ours; any other is refused. The form is the one from before PyTorch 1.6: pickles one after the
other (magic number, protocol, machine, objects, storage keys), then each storage as its length and its numbers.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = 0x1950A86A20F9469CFC6C
PROTOCOL: Final = 1001
_FLOAT_BYTES: Final = 4
_LENGTH_BYTES: Final = 8


class CheckpointError(ValueError):
    """The file is no checkpoint of floating-point tensors, or it asks for more than that."""


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    length: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]


def read_tensors(raw: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of the mapping `name` in a checkpoint's top level. Raises CheckpointError."""
    file = io.BytesIO(raw)
    try:
        magic, protocol, _, objects = (_Reader(file).load() for _ in range(4))
        if (magic, protocol) != (MAGIC, PROTOCOL):
            raise CheckpointError("not a checkpoint of the form that can be read")
        numbers = _read_storages(file, _Reader(file).load())
        found = objects[name]
        if not isinstance(found, Mapping):
            raise CheckpointError(f"{name} is no set of tensors")
        return {key: _array(tensor, numbers) for key, tensor in found.items() if isinstance(tensor, _Tensor)}
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"the checkpoint cannot be read: {type(error).__name__}") from error


def _read_storages(file: io.BytesIO, keys: Any) -> dict[str, NDArray[np.float32]]:
    numbers = {}
    for key in keys:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        data = file.read(length * _FLOAT_BYTES)
        if len(data) != length * _FLOAT_BYTES:
            raise CheckpointError("the checkpoint is cut off")
        numbers[str(key)] = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    return numbers


def _array(tensor: _Tensor, numbers: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    count = int(np.prod(tensor.shape, dtype=np.int64))
    stored = numbers[tensor.storage.key][tensor.offset : tensor.offset + count]
    if stored.size != count:
        raise CheckpointError("a tensor is larger than its storage")
    return stored.reshape(tensor.shape)


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    expected, step = [], 1
    for length in reversed(shape):
        expected.append(step)
        step *= length
    if tuple(reversed(expected)) != tuple(strides):
        raise CheckpointError("a tensor that does not lie in one piece")
    return _Tensor(storage, offset, tuple(shape))


_KNOWN: Final = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch", "FloatStorage"): "float32",
}


class _Reader(pickle.Unpickler):
    """Understands numbers, texts, containers and tensors; calls nothing that is not in `_KNOWN`."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise CheckpointError(f"the checkpoint asks for {module}.{name}, which is no weight") from None

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, length, *_ = pid
        if what != "storage" or kind != "float32":
            raise CheckpointError("the checkpoint holds something else than numbers")
        return _Storage(str(key), int(length))
