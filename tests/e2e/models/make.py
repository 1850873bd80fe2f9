"""Makes the models of the end-to-end tests of cascades, as TorchScript.

    python3 -m venv v && v/bin/pip install torch==2.11.0
    v/bin/python tests/e2e/models/make.py

`finder` reads its detections out of the first row of the image, so that a test chooses them. `ragged` gives the
same without padding. `echo` gives its input. `mean` gives the mean colour. It
fails at a white image.
"""

from pathlib import Path

import torch

HERE = Path(__file__).parent


class Finder(torch.nn.Module):
    def forward(self, image):  # [batch, 3, 60, 80], 0 to 255
        header = image[:, :2, 0, :]
        places = torch.arange(39, dtype=torch.float32)
        first, second = header[:, :, 1:79:2], header[:, :, 2:80:2]
        boxes = torch.cat([first, second], dim=1).transpose(1, 2).contiguous()
        scores = torch.where(places[None] < header[:, 0, :1], 0.5 + places[None] / 100, torch.zeros(1))
        return boxes, scores


class Ragged(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.finder = Finder()

    def forward(self, image):
        boxes, scores = self.finder(image)
        found = scores > 0
        return boxes[found], scores[found], found.nonzero()[:, 0]


class Echo(torch.nn.Module):
    def forward(self, x):  # [batch]
        return x * 1


class Mean(torch.nn.Module):
    def forward(self, crop):  # [batch, 3, height, width]
        if bool((crop.amin(dim=[1, 2, 3]) >= 255).any()):
            raise ValueError("a white image")
        return crop.mean(dim=[2, 3])


for name, module in (("finder", Finder()), ("ragged", Ragged()), ("echo", Echo()), ("mean", Mean())):
    folder = HERE / name / "1"
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module.eval()).save(str(folder / "model.pt"))
