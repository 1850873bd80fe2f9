"""ONNX graphs whose weights stay in a safetensors file beside them.

`torch.onnx.export` writes the weights into the graph. `point_into` takes them out again, and names the bytes of the
safetensors file in their place. So the graph is small enough for git, and set-up fetches the weights.
"""
import json
import struct

import onnx
from onnx import TensorProto, helper

# The weights that are this small may stay in the graph: they are constants of its code.
SMALL = 16384
TYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "I64": TensorProto.INT64}


def entries(path):
    """Name -> (type, shape, offset in the file, bytes) of the tensors of a safetensors file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        found[name] = (entry["dtype"], entry["shape"], 8 + length + begin, end - begin)
    return found


def point_into(graph_path, weights_path, location, name_of=lambda name: name):
    """Replaces the weights of a graph by references into the file `location`, which lies beside it.

    `name_of` gives the name in the safetensors file of a name in the graph. Halves become floats in the graph, so the
    file may hold halves.
    """
    model = onnx.load(graph_path)
    graph, known, casts = model.graph, entries(weights_path), []
    for tensor in graph.initializer:
        entry = known.get(name_of(tensor.name))
        if entry is None:
            if len(tensor.raw_data) > SMALL:
                raise SystemExit(f"{graph_path}: {tensor.name} {list(tensor.dims)} is not in {weights_path}")
            continue
        dtype, shape, offset, size = entry
        if list(tensor.dims) != shape:
            raise SystemExit(f"{graph_path}: {tensor.name} is {list(tensor.dims)}, in {weights_path} it is {shape}")
        if dtype == "F16" and tensor.data_type == TensorProto.FLOAT:
            casts.append(helper.make_node("Cast", [f"{tensor.name}.f16"], [tensor.name], to=TensorProto.FLOAT))
            tensor.name += ".f16"
        elif TYPES[dtype] != tensor.data_type:
            raise SystemExit(f"{graph_path}: {tensor.name} has another type than in {weights_path}")
        tensor.ClearField("raw_data")
        tensor.data_type, tensor.data_location = TYPES[dtype], TensorProto.EXTERNAL
        for key, value in [("location", location), ("offset", str(offset)), ("length", str(size))]:
            tensor.external_data.add(key=key, value=value)
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    save(model, graph_path)


def tidy(graph_path):
    """Writes a graph that keeps its weights anew, without the paths of this machine."""
    save(onnx.load(graph_path), graph_path)


def save(model, path):
    for node in model.graph.node:
        forget_source(node)
    with open(path, "wb") as out:
        out.write(model.SerializeToString(deterministic=True))


def forget_source(node):
    """Documentation strings name source files of this machine."""
    node.ClearField("doc_string")
    for attribute in node.attribute:
        for inner in attribute.g.node:
            forget_source(inner)
