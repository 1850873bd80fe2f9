"""Reads weights as their makers publish them, and writes them as safetensors. Needs the standard library alone.

A reader gives a dictionary: the tensor's name -> `Tensor`. Elements go from file to file bit by bit as they are.
"""

import io
import itertools
import json
import math
import pickle
import struct
from array import array
from collections import OrderedDict
from typing import NamedTuple

# Bytes of one element, by the type's name in safetensors.
SIZES = {"F16": 2, "F32": 4, "I64": 8}


class Tensor(NamedTuple):
    """Elements in C order, little-endian."""

    dtype: str
    shape: tuple
    data: bytes

    @classmethod
    def of(cls, dtype, shape, data, name):
        if len(data) != math.prod(shape) * SIZES[dtype]:
            raise ValueError(f"{name}: {len(data)} bytes for {dtype} {list(shape)}")
        return cls(dtype, tuple(shape), bytes(data))


# ---------------------------------------------------------------------------------------------- CTranslate2

_CT2_VERSION = 6
_CT2_TYPES = {0: "F32", 4: "F16"}


def read_ctranslate2(content):
    """The floating-point tensors of a `model.bin` of CTranslate2.

    Version 6: the name and revision of the model's specification, then each tensor with its name, extents, type and
    bytes, then names that stand for others. Names end with a zero byte.
    """
    source = io.BytesIO(content)

    def number(code):
        return struct.unpack(f"<{code}", _exactly(source, struct.calcsize(f"<{code}")))[0]

    def name():
        return _exactly(source, number("H")).rstrip(b"\0").decode()

    version = number("I")
    if version != _CT2_VERSION:
        raise ValueError(f"model.bin has version {version}, expected {_CT2_VERSION}")
    name(), number("I")  # the specification and its revision
    tensors = {}
    for _ in range(number("I")):
        key = name()
        shape = [number("I") for _ in range(number("B"))]
        dtype = _CT2_TYPES.get(number("B"))
        data = _exactly(source, number("I"))
        if dtype and shape:  # the others are settings, such as the number of heads
            tensors[key] = Tensor.of(dtype, shape, data, key)
    return tensors


# --------------------------------------------------------------------------------------- PyTorch, before 1.6

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {"FloatStorage": "F32", "LongStorage": "I64"}
_CODES = {"F32": "f", "I64": "q"}


class _Storage(NamedTuple):
    dtype: str
    key: str
    length: int


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _Unpickler(pickle.Unpickler):
    """Knows the few names that a state dictionary needs, and refuses all others: a pickle can name any function."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _View(storage, offset, shape, strides)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"a state dictionary does not need {module}.{name}")

    def persistent_load(self, reference):
        kind, dtype, key, _device, length, view = reference
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"unknown reference {reference!r}")
        return _Storage(dtype, key, length)


def read_checkpoint(content):
    """The tensors of a state dictionary that PyTorch before 1.6 wrote by `torch.save`.

    Five pickles: a magic number, the version, the machine, the dictionary, the keys of the storages. After them, each
    storage in the order of its key: the number of its elements and its bytes.
    """
    source = io.BytesIO(content)
    if (magic := _Unpickler(source).load()) != _MAGIC:
        raise ValueError(f"this is no checkpoint of PyTorch: it begins with {magic!r}")
    if (version := _Unpickler(source).load()) != _PROTOCOL:
        raise ValueError(f"the checkpoint has version {version!r}, expected {_PROTOCOL}")
    if not _Unpickler(source).load()["little_endian"]:
        raise ValueError("the checkpoint is big-endian")
    state = _Unpickler(source).load()
    keys = _Unpickler(source).load()
    storages = {view.storage.key: view.storage for view in state.values()}
    data = {}
    for key in keys:
        (length,) = struct.unpack("<q", _exactly(source, 8))
        storage = storages[key]
        if length != storage.length:
            raise ValueError(f"storage {key} has {length} elements, expected {storage.length}")
        data[key] = _exactly(source, length * SIZES[storage.dtype])
    return {name: _tensor_of(name, view, data[view.storage.key]) for name, view in state.items()}


def _tensor_of(name, view, data):
    """The elements of a view in C order; a checkpoint made of TensorFlow's weights has other orders."""
    dtype = view.storage.dtype
    elements = memoryview(data).cast(_CODES[dtype])
    axes = [(extent, stride) for extent, stride in zip(view.shape, view.strides) if extent != 1] or [(1, 1)]
    *outer, (extent, stride) = axes
    rows = array(_CODES[dtype])
    for place in itertools.product(*(range(0, extent * stride, stride) for extent, stride in outer)):
        first = view.offset + sum(place)
        rows.extend(elements[first : first + (extent - 1) * stride + 1 : stride])
    return Tensor.of(dtype, view.shape, rows.tobytes(), name)


# ---------------------------------------------------------------------------------------------- safetensors


def write_safetensors(tensors, path):
    """Writes tensors in the order of their names: the same tensors give the same bytes. Elements begin at a multiple of 64."""
    header, at = {}, 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)))
        out.write(text)
        for name in sorted(tensors):
            out.write(tensors[name].data)


def _exactly(source, count):
    data = source.read(count)
    if len(data) != count:
        raise ValueError(f"the file ends {count - len(data)} bytes too early")
    return data
