#!/usr/bin/python3
"""Makes and exports the step that says how well a text fits a picture, as ONNX. No training.

    python3 export_fit.py ../efficientnet-lite0/1 ../all-minilm-l6-v2/1 ../talk-fits-picture/1

A classifier's ten best classes, weighted by their probabilities, stand for the picture: the mean of the vectors of
"a photo of a CLASS" (ConSE, Norouzi et al. 2013). The cosine of that with the vector of the text is the fit. The vectors
of the classes are a part of the graph, as halves. Needs the package `tokenizers`.
"""
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

import export_minilm
import external
import scene
import torchscript

SENTENCE = "a photo of a {}"
BEST = 10


class Fit(nn.Module):
    """logits [batch, 1000], text [batch, 384] -> fit [batch, 1], -1 to 1; picture [batch, 384], the picture's vector."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("classes", classes)

    def forward(self, logits, text):
        weights, best = logits.softmax(1).topk(BEST, dim=1)
        vectors = self.classes[best].to(torch.float32)
        picture = functional.normalize((weights[..., None] * vectors).sum(1), dim=1)
        return (picture * functional.normalize(text, dim=1)).sum(1, keepdim=True), picture


def classes(labels, folder):
    """The vectors [1000, 384] of the classes' names."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    module = export_minilm.build(folder)
    rows = []
    for name in labels.read_text("utf-8").splitlines():
        tokens = torch.tensor([tokenizer.encode(SENTENCE.format(name)).ids])
        rows.append(module(tokens, torch.ones_like(tokens))[0])
    return torch.stack(rows)


def export(module, folder):
    path = str(folder / "model.onnx")
    scene.export(
        module, (torch.zeros(2, 1000), torch.ones(2, 384)), path, ["logits", "text"], ["fit", "picture"],
        {name: {0: "batch"} for name in ("logits", "text", "fit", "picture")})
    external.tidy(path)
    print(f"{path}: sha256 {torchscript.sha256(path)}")


if __name__ == "__main__":
    names, language, target = map(Path, sys.argv[1:])
    export(Fit(classes(names / "labels.txt", language).half()), target)
