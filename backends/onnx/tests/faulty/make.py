"""Writes the ONNX files of this folder: each is well-formed, and asks for something that cannot be."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def write(name, node, shape, constants=()):
    tensor = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], name, [tensor("x")], [tensor("y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.opset_import.append(helper.make_opsetid("my.ops", 1))
    Path(__file__).with_name(f"{name}.onnx").write_bytes(model.SerializeToString())


identity = helper.make_node("Identity", ["x"], ["y"])
# A constant of 4 TiB.
extents = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "extents")
write("huge_constant", helper.make_node("ConstantOfShape", ["extents"], ["y"]), ["N", 4], [extents])
# Rows whose number of bytes overflows.
write("huge_row", identity, ["N", 2**40, 2**40])
write("no_batch", identity, [3, 4])
# An operator that no runtime has.
write("own_operator", helper.make_node("FooBar", ["x"], ["y"], domain="my.ops"), ["N", 4])
# Names with a line's end.
names = helper.make_graph(
    [helper.make_node("Identity", ["in\nput"], ["out\nput"])],
    "names",
    [helper.make_tensor_value_info("in\nput", TensorProto.FLOAT, [3, 4])],
    [helper.make_tensor_value_info("out\nput", TensorProto.FLOAT, [3, 4])],
)
model = helper.make_model(names, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
Path(__file__).with_name("names.onnx").write_bytes(model.SerializeToString())
