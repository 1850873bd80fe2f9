#!/usr/bin/python3
"""Makes the files of these tests: a small network whole and in two shards, and its outputs by ONNX Runtime for Python.

    PYTHONPATH=../../../../models/export python3 make.py
"""
import json
import os
import subprocess
import sys

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import shards

random = numpy.random.default_rng(19)
weights = {"first": random.normal(size=(16, 32)), "bias": random.normal(size=32), "second": random.normal(size=(32, 24)),
           "half": random.normal(size=(24, 24))}
kinds = {"half": "float16"}
weights = {name: value.astype(kinds.get(name, "float32")) for name, value in weights.items()}
# The branch of an If is a graph of its own, with a tensor of its own.
inner = helper.make_graph(
    [helper.make_node("MatMul", ["c", "inner"], ["d"])], "then", [], [helper.make_tensor_value_info("d", 1, None)],
    [numpy_helper.from_array(random.normal(size=(24, 24)).astype("float32"), "inner")])
other = helper.make_graph(
    [helper.make_node("Identity", ["c"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, None)])
nodes = [helper.make_node("Gemm", ["x", "first", "bias"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
         helper.make_node("MatMul", ["b", "second"], ["c"]), helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
         helper.make_node("Greater", ["m", "zero"], ["is_large"]),
         helper.make_node("If", ["is_large"], ["f"], then_branch=inner, else_branch=other),
         helper.make_node("Cast", ["half"], ["h"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["f", "h"], ["y"])]
tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
tensors.append(numpy_helper.from_array(numpy.array(0, "float32"), "zero"))
graph = helper.make_graph(nodes, "sharded", [helper.make_tensor_value_info("x", 1, ["batch", 16])],
                          [helper.make_tensor_value_info("y", 1, ["batch", 24])], tensors)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, "whole.onnx")
tool = os.path.join(os.path.dirname(shards.__file__), "shard_onnx.py")
subprocess.run([sys.executable, tool, "whole.onnx", ".", "--shard-mb", "0.004"], check=True)
rows = random.normal(size=(3, 16)).astype("float32")
output = onnxruntime.InferenceSession("whole.onnx").run(None, {"x": rows})[0]
with open("golden.json", "w") as file:
    json.dump({"input": rows.tolist(), "output": output.tolist()}, file)
