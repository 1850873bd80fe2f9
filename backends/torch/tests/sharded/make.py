#!/usr/bin/python3
"""Makes the files of these tests: a module with parameters and buffers of every type, whole and in two shards, and its outputs.

    PYTHONHASHSEED=0 PYTHONPATH=../../../../models/export python3 make.py
"""
import json
import os
import subprocess
import sys

import torch

import torchscript


class Every(torch.nn.Module):
    """Uses each weight, so that one which is missing changes the output. Counts its calls in a buffer, so that it writes to one."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.parts = torch.nn.ModuleList([torch.nn.Linear(8, 8), torch.nn.Conv1d(1, 2, 3, padding=1)])
        self.half_scale = torch.nn.Parameter(torch.randn(8).half(), requires_grad=False)
        self.brain_shift = torch.nn.Parameter(torch.randn(8).bfloat16(), requires_grad=False)
        self.register_buffer("wide", torch.randn(8, dtype=torch.float64))
        for name, dtype in (("i8", torch.int8), ("u8", torch.uint8), ("i16", torch.int16), ("i32", torch.int32)):
            self.register_buffer(name, torch.randint(0, 90, (8,), dtype=dtype))
        self.register_buffer("whole", torch.tensor(5))
        self.register_buffer("mask", torch.tensor([True, False] * 4))

    def forward(self, x):
        self.whole.add_(1)
        x = torch.relu(self.norm(self.first(x)))
        for part in self.parts:
            if isinstance(part, torch.nn.Linear):
                x = part(x)
            else:
                x = part(x.unsqueeze(1)).mean(1)
        x = x * self.half_scale.float() + self.brain_shift.float() + self.wide.float()
        x = x + self.i8.float() + 3 * self.u8.float() + 7 * self.i16.float() + 11 * self.i32.float()
        return torch.where(self.mask, x, -x) + self.whole


torch.manual_seed(19)
module = Every().eval()
with torch.no_grad():
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
torchscript.save(module, "whole.pt")
tool = os.path.join(os.path.dirname(torchscript.__file__), "shard_torchscript.py")
subprocess.run([sys.executable, tool, "whole.pt", ".", "--shard-mb", "0.0007"], check=True)
rows = torch.randn(3, 6)
with torch.no_grad():
    loaded = torch.jit.load("whole.pt")
    loaded(rows[:1])  # as warm-up does
    output = loaded(rows)
with open("golden.json", "w") as file:
    json.dump({"input": rows.tolist(), "output": output.tolist()}, file)
