#!/usr/bin/python3
"""Splits a TorchScript file into a skeleton without weights, and weights in safetensors files, which Lockstep maps into memory.

    python3 shard_torchscript.py whole.pt models/mine/1 --shard-mb 500

Writes model.pt, the weights and, if there are several files of them, their index. Prints the keys for model.toml.
Needs torch and safetensors. The module must not be frozen: weights that became constants of its code stay in the skeleton.
"""
import argparse
import pathlib

import torch
from safetensors.torch import save_file

import shards
import torchscript


def tensors(module):
    """All parameters and all buffers, by name: two dictionaries. Shared weights are there under each of their names."""
    parameters, buffers = {}, {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for found, own in ((parameters, part._parameters), (buffers, part._buffers)):
            found.update({f"{prefix}.{name}".lstrip("."): value for name, value in own.items() if value is not None})
    return parameters, buffers


def lockstep_buffers(names):
    """The source of a method that returns the buffers, as libtorch's list of parameters leaves them out."""
    lines = ["def lockstep_buffers(self) -> Dict[str, Tensor]:", "    found: Dict[str, Tensor] = {}"]
    for place, name in enumerate(names):
        owner = "self"
        for part in name.split("."):
            owner = f'getattr({owner}, "{part}")'
        lines += [f"    buffer{place} = {owner}", f"    assert buffer{place} is not None",
                  f'    found["{name}"] = buffer{place}']
    return "\n".join(lines + ["    return found"]) + "\n"


def hollow(tensor):
    """A tensor of the same type and shape that takes the memory of one element."""
    return torch.zeros(1, dtype=tensor.dtype).expand(tensor.shape) if tensor.numel() > 1 else torch.zeros_like(tensor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="the TorchScript file")
    parser.add_argument("folder", type=pathlib.Path, help="the folder of the model's version")
    parser.add_argument("--shard-mb", type=float, default=1000, help="the most megabytes of one file of weights")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    module = torch.jit.load(arguments.model, map_location="cpu").eval()
    parameters, buffers = tensors(module)
    if not parameters and not buffers:
        raise SystemExit(f"{arguments.model}: has neither parameters nor buffers; export it without freezing it")
    weights = {name: value.detach().clone().contiguous() for name, value in (parameters | buffers).items()}
    sizes = {name: value.numel() * value.element_size() for name, value in weights.items()}
    files = shards.split(sizes, arguments.shard_mb)
    for file, names in files.items():
        save_file({name: weights[name] for name in names}, arguments.folder / file)

    module.define(lockstep_buffers(list(buffers)))
    parts = dict(module.named_modules(remove_duplicate=False))
    for name, value in weights.items():
        owner, _, own = name.rpartition(".")
        parts[owner]._c.setattr(own, hollow(value))
    skeleton = arguments.folder / "model.pt"
    module.save(str(skeleton))
    torchscript.strip(str(skeleton))
    shards.finish(arguments.folder, skeleton, files)


if __name__ == "__main__":
    main()
