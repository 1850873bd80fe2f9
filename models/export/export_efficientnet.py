#!/usr/bin/python3
"""Exports EfficientNet-Lite0 as ONNX: pictures to the 1,000 classes of ImageNet.

    python3 export_efficientnet.py efficientnet_lite_pytorch-0.1.0-py3-none-any.whl ../efficientnet-lite0/1

The wheel holds the network's code. The folder holds the weights already: `make setup-scene` writes them.
"""
import sys
from pathlib import Path

import torch
from torch import nn

import external
import scene
import torchscript

WHEEL = "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41"


class EfficientNet(nn.Module):
    """frames [batch, 3, 224, 224], 0 to 255 -> logits [batch, 1000], features [batch, 1280]."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, frames):
        features = self.network.extract_features((frames - 127) / 128).mean((2, 3))
        return self.network._fc(features), features


def build(wheel, folder):
    torchscript.read_from_wheel(wheel, WHEEL)
    sys.path.insert(0, wheel)
    from efficientnet_lite_pytorch import EfficientNet as Network

    network = Network.from_name("efficientnet-lite0")
    network.load_state_dict(scene.tensors(folder / "model.safetensors"))
    return EfficientNet(network).eval().requires_grad_(False)


def export(module, folder):
    path = str(folder / "model.onnx")
    scene.export(
        module, (torch.zeros(2, 3, 224, 224),), path, ["frames"], ["logits", "features"],
        {name: {0: "batch"} for name in ("frames", "logits", "features")})
    external.point_into(path, folder / "model.safetensors", "model.safetensors", lambda name: name.removeprefix("network."))
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    export(build(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[2]))
