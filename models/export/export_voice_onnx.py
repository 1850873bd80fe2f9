#!/usr/bin/python3
"""Exports Silero VAD v6 for batches of sessions with explicit state, as ONNX.

    python3 export_voice_onnx.py silero_vad-6.2.3-py3-none-any.whl voice.onnx
"""
import sys
import warnings

import torch

import torchscript
import voice_sequence

OPSET = 17


def export(module, path):
    """Leaves the batch and the number of chunks open."""
    audio, state, context = torch.zeros(2, 2 * module.chunk), torch.zeros(2, 2, 128), torch.zeros(2, module.context)
    with warnings.catch_warnings():
        # The exporter warns of LSTMs that create their own state, and of constants that it does not fold.
        warnings.simplefilter("ignore", UserWarning)
        torch.onnx.export(
            module, (audio, state, context), path, opset_version=OPSET,
            input_names=["audio", "state", "context"],
            # In an ONNX graph, an output that had the name of an input would be that input.
            output_names=["speech_probability", "next_state", "next_context"],
            dynamic_axes={"audio": {0: "batch", 1: "samples"}, "state": {1: "batch"}, "context": {0: "batch"},
                          "speech_probability": {0: "batch", 1: "n"}, "next_state": {1: "batch"},
                          "next_context": {0: "batch"}})
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    export(voice_sequence.build(sys.argv[1]), sys.argv[2])
