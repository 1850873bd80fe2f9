#!/usr/bin/python3
"""Exports all-MiniLM-L6-v2 as ONNX: tokens to a vector for each text.

    python3 export_minilm.py ../all-minilm-l6-v2/1

The folder holds the weights already: `make setup-scene` writes them.
"""
import sys
from pathlib import Path

import torch

import external
import minilm
import scene
import torchscript


def build(folder):
    module = minilm.MiniLm().eval().requires_grad_(False)
    weights = scene.tensors(folder / "model.safetensors")
    module.load_state_dict({name: weights[name] for name in module.state_dict()})
    return module


def export(module, folder):
    path = str(folder / "model.onnx")
    tokens = torch.ones(2, 16, dtype=torch.int64)
    scene.export(
        module, (tokens, tokens), path, ["input_ids", "attention_mask"], ["embedding"],
        {"input_ids": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}, "embedding": {0: "batch"}})
    external.point_into(path, folder / "model.safetensors", "model.safetensors")
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    export(build(Path(sys.argv[1])), Path(sys.argv[1]))
