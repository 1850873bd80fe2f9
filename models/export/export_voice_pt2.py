#!/usr/bin/env python3
"""Exports Silero VAD v6 for batches of sessions with explicit state, as a torch.export package.

    python3 export_voice_pt2.py silero_vad-6.2.3-py3-none-any.whl voice.pt2

The package holds a graph of ATen operators and the weights, and no machine code.
"""
import io
import sys

import torch
from torch.export import Dim
from torch.utils._sympy.value_ranges import ValueRanges

import torchscript
import voice_sequence

TORCH = "2.11.0"
MAX_BATCH, MAX_CHUNKS = 4096, 4096


def export(module):
    """Leaves the batch and the number of chunks open."""
    batch, chunks = Dim("batch", min=1, max=MAX_BATCH), Dim("chunks", min=1, max=MAX_CHUNKS)
    inputs = torch.zeros(3, 2 * module.chunk), torch.zeros(2, 3, 128), torch.zeros(3, module.context)
    program = torch.export.export(module, inputs, dynamic_shapes={
        "audio": {0: batch, 1: module.chunk * chunks}, "state": {1: batch}, "context": {0: batch}})
    audio, _, _ = program.graph.find_nodes(op="placeholder")[-3:]
    # torch.export reads the batch from state, so that a state of another batch would go unnoticed.
    [size] = program.graph.find_nodes(op="call_function", target=torch.ops.aten.sym_size.int)
    size.args = audio, 0
    # torch.export raises the minimum of chunks to 2.
    [symbol] = audio.meta["val"].shape[1].node.expr.free_symbols
    program.range_constraints[symbol] = ValueRanges(1, MAX_CHUNKS)
    correct_shapes(program.graph)
    return program


def correct_shapes(graph):
    """Computes the recorded shapes again from the LSTM on.

    torch.export derives them from an unrolled LSTM, which fixes the number of chunks.
    """
    [lstm] = graph.find_nodes(op="call_function", target=torch.ops.aten.lstm.input)
    after = list(graph.nodes)[list(graph.nodes).index(lstm):-1]
    x, state = lstm.args[0].meta["val"], lstm.args[1][0].meta["val"]
    with x.fake_mode:
        lstm.meta["val"] = torch.empty(x.shape), torch.empty(state.shape), torch.empty(state.shape)
        for node in after[1:]:
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda argument: argument.meta["val"])
            node.meta["val"] = node.target(*args, **kwargs)


def save(program, path):
    """Saves a program without the records that name source files of this machine, and without example inputs."""
    for node in program.graph.nodes:
        node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
    program._example_inputs = None
    package = io.BytesIO()  # the archive's folder would have the name of a file
    torch.export.save(program, package)
    with open(path, "wb") as file:
        file.write(package.getvalue())
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    if torch.__version__.split("+")[0] != TORCH:
        raise SystemExit(f"torch is {torch.__version__}; install {TORCH}, as libtorch is")
    save(export(voice_sequence.build(sys.argv[1])), sys.argv[2])
