#!/usr/bin/python3
"""Moves the weights of an ONNX file into safetensors files, which ONNX Runtime maps into memory.

    python3 shard_onnx.py whole.onnx models/mine/1 --shard-mb 500

Writes model.onnx, the weights and, if there are several files of them, their index. Prints the keys for model.toml.
Needs onnx and safetensors. Tensors below one kilobyte stay in the file: ONNX Runtime needs some of them to find shapes.
"""
import argparse
import json
import pathlib

import onnx
from onnx import TensorProto, numpy_helper
from safetensors.numpy import save_file

import shards

SMALLEST = 1024
TYPES = [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.INT8,
         TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL]


def graphs(graph):
    """A graph, and the graphs within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from graphs(inner)


def places(path):
    """The offset and the length of each tensor, counted from the first byte of a safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {name: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
            for name, entry in header.items() if name != "__metadata__"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="the ONNX file")
    parser.add_argument("folder", type=pathlib.Path, help="the folder of the model's version")
    parser.add_argument("--shard-mb", type=float, default=1000, help="the most megabytes of one file of weights")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    model = onnx.load(arguments.model)
    weights, values = {}, {}
    for graph in graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.data_type not in TYPES:
                continue
            value = numpy_helper.to_array(tensor)
            if value.nbytes < SMALLEST:
                continue
            # A graph within a node may use a name of the outer one again.
            name = tensor.name if tensor.name not in weights else f"{tensor.name}.{len(weights)}"
            weights[name] = tensor
            values[name] = value
    if not weights:
        raise SystemExit(f"{arguments.model}: has no weights of {SMALLEST} bytes or more")
    files = shards.split({name: value.nbytes for name, value in values.items()}, arguments.shard_mb)
    for file, names in files.items():
        save_file({name: values[name] for name in names}, arguments.folder / file)
        for name, (offset, length) in places(arguments.folder / file).items():
            tensor = weights[name]
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", file), ("offset", offset), ("length", length)):
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)
    # onnx.save would write the tensors into a file of its own.
    target = arguments.folder / "model.onnx"
    target.write_bytes(model.SerializeToString())
    shards.finish(arguments.folder, target, files)


if __name__ == "__main__":
    main()
