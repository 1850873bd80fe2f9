"""Writes hanging.onnx: a graph that runs for ever on some batches.

    python3 -m pip install onnx numpy && python3 make_hanging.py

A loop adds 1 to a number, 10^12 times the sum of all bytes of the batch. So a batch of zeros ends at once, as the one that warms a
model up, and any other batch takes hours. The output is the sum of each row's bytes.
"""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save


def constant(name, value):
    return numpy_helper.from_array(value, name)


body = helper.make_graph(
    [
        helper.make_node("Identity", ["goes_on"], ["goes_on_out"]),
        helper.make_node("Add", ["turns", "one"], ["turns_out"]),
    ],
    "body",
    [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("turns", TensorProto.FLOAT, []),
    ],
    [
        helper.make_tensor_value_info("goes_on_out", TensorProto.BOOL, []),
        helper.make_tensor_value_info("turns_out", TensorProto.FLOAT, []),
    ],
    [constant("one", np.array(1, np.float32))],
)
graph = helper.make_graph(
    [
        helper.make_node("Cast", ["payload"], ["numbers"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["numbers"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "many"], ["trips"]),
        helper.make_node("Loop", ["trips", "yes", "none"], ["turns"], body=body),
        # Zero, and known only after the loop.
        helper.make_node("Min", ["turns", "none"], ["nothing"]),
        helper.make_node("Cast", ["payload"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "nothing"], ["sum"]),
    ],
    "hanging",
    [helper.make_tensor_value_info("payload", TensorProto.UINT8, ["batch", 4])],
    [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["batch"])],
    [
        constant("many", np.array(10**12, np.int64)),
        constant("yes", np.array(True)),
        constant("none", np.array(0, np.float32)),
        constant("axes", np.array([1], np.int64)),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
save(model, "hanging.onnx")
