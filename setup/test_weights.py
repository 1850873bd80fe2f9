"""Promises of weights.py. `tests/setup.rs` runs them: python3 -m unittest, in this folder."""

import io
import json
import os
import pickle
import struct
import sys
import tempfile
import types
import unittest
from array import array
from collections import OrderedDict

import weights
from weights import Tensor


def floats(*values):
    return array("f", values).tobytes()


def ctranslate2(tensors):
    """A model.bin of these (name, extents, type, bytes)."""

    def name(text):
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    out = struct.pack("<I", 6) + name("WhisperSpec") + struct.pack("<II", 3, len(tensors))
    for key, shape, dtype, data in tensors:
        out += name(key) + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, dtype, len(data)) + data
    return out + struct.pack("<I", 0)


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


def _rebuild_tensor_v2(*_):
    """Only its name is written."""


_rebuild_tensor_v2.__module__ = "torch._utils"


class View:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", sys.modules["torch"].FloatStorage, value.key, "cpu", len(value.values), None)
        return None


def checkpoint(state, storages):
    """What torch.save of PyTorch 1.5 writes. PyTorch itself is not needed: a pickle has the names of its functions only."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    out = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, state, [each.key for each in storages]):
        Pickler(out, 2).dump(part)
    for name, module in before.items():
        sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    for each in storages:
        out.write(struct.pack("<q", len(each.values)) + floats(*each.values))
    return out.getvalue()


class CTranslate2(unittest.TestCase):
    def test_tensors_are_read_and_settings_left_out(self):
        content = ctranslate2([("a/weight", [2, 1], 0, floats(1, 2)), ("heads", [], 2, b"\6\0")])
        self.assertEqual(weights.read_ctranslate2(content), {"a/weight": Tensor("F32", (2, 1), floats(1, 2))})

    def test_cut_and_contradictory_files_are_refused(self):
        content = ctranslate2([("a", [2], 0, floats(1, 2))])
        for length in range(len(content) - 4):
            with self.assertRaises(ValueError, msg=f"{length} bytes"):
                weights.read_ctranslate2(content[:length])
        with self.assertRaisesRegex(ValueError, "a: 8 bytes for F32"):
            weights.read_ctranslate2(ctranslate2([("a", [3], 0, floats(1, 2))]))
        with self.assertRaisesRegex(ValueError, "version 5, expected 6"):
            weights.read_ctranslate2(struct.pack("<I", 5))


class Checkpoint(unittest.TestCase):
    def test_views_of_any_order_come_out_in_c_order(self):
        one, two = Storage("1", [0, 1, 2, 3, 4, 5, 6]), Storage("2", [9.5])
        state = OrderedDict(
            plain=View(one, 1, (2, 3), (3, 1)), turned=View(one, 1, (3, 2), (1, 3)), scalar=View(two, 0, (), ()))
        found = weights.read_checkpoint(checkpoint(state, [one, two]))
        self.assertEqual(found["plain"], Tensor("F32", (2, 3), floats(1, 2, 3, 4, 5, 6)))
        self.assertEqual(found["turned"], Tensor("F32", (3, 2), floats(1, 4, 2, 5, 3, 6)))
        self.assertEqual(found["scalar"], Tensor("F32", (), floats(9.5)))

    def test_view_beyond_its_storage_is_refused(self):
        one = Storage("1", [0, 1])
        with self.assertRaisesRegex(ValueError, "far: 4 bytes for F32"):
            weights.read_checkpoint(checkpoint(OrderedDict(far=View(one, 1, (2,), (1,))), [one]))

    def test_pickle_that_calls_other_functions_is_refused(self):
        class Evil:
            def __reduce__(self):
                return os.mkdir, ("should not be",)

        with self.assertRaisesRegex(pickle.UnpicklingError, "does not need"):
            weights.read_checkpoint(pickle.dumps(Evil()))
        self.assertFalse(os.path.exists("should not be"))


class Safetensors(unittest.TestCase):
    def test_file_is_the_same_for_any_order(self):
        tensors = {"b": Tensor("F16", (2,), b"\0\1\2\3"), "a": Tensor("F32", (1, 1), floats(1))}
        files = []
        for order in (tensors, dict(reversed(tensors.items()))):
            with tempfile.NamedTemporaryFile() as file:
                weights.write_safetensors(order, file.name)
                files.append(file.read())
        self.assertEqual(files[0], files[1])
        (length,) = struct.unpack("<Q", files[0][:8])
        self.assertEqual((8 + length) % 64, 0)
        header = json.loads(files[0][8 : 8 + length])
        self.assertEqual(header["b"], {"dtype": "F16", "shape": [2], "data_offsets": [4, 8]})
        self.assertEqual(files[0][8 + length :], floats(1) + b"\0\1\2\3")


if __name__ == "__main__":
    unittest.main()
