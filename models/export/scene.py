"""What the exporters of the scene's models share: PyTorch's tensors of a safetensors file, and the export to ONNX."""
import warnings

import torch

import external

OPSET = 17
TYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}


def tensors(path):
    """The tensors of a safetensors file, halves as floats."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    found = {}
    for name, (dtype, shape, offset, size) in external.entries(path).items():
        flat = torch.frombuffer(content, dtype=TYPES[dtype], count=size // TYPES[dtype].itemsize, offset=offset)
        found[name] = flat.reshape(shape).float() if dtype == "F16" else flat.reshape(shape)
    return found


def export(module, inputs, path, input_names, output_names, dynamic_axes):
    """Writes the graph with its weights just as they are: neither folded nor turned, so that they can be pointed to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, inputs, path, opset_version=OPSET, input_names=input_names, output_names=output_names,
            dynamic_axes=dynamic_axes, dynamo=False, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE)
