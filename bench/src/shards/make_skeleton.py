#!/usr/bin/python3
"""Makes skeleton.pt, the code of the benchmark's model without its weights.

    PYTHONHASHSEED=0 PYTHONPATH=../../../models/export python3 make_skeleton.py
"""
import os
import shutil
import subprocess
import sys
import tempfile

import torch

import torchscript


class Layers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(2048, 2048) for _ in range(12)])
        self.norm = torch.nn.BatchNorm1d(2048)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.norm(x)


tool = os.path.join(os.path.dirname(torchscript.__file__), "shard_torchscript.py")
with tempfile.TemporaryDirectory() as folder:
    torchscript.save(Layers(), f"{folder}/whole.pt")
    subprocess.run([sys.executable, tool, f"{folder}/whole.pt", folder], check=True)
    shutil.copy(f"{folder}/model.pt", "skeleton.pt")
