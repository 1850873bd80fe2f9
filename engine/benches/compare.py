"""The work of benches/preprocess.rs by Pillow and librosa, on one thread.

    python3 -m venv v && v/bin/pip install pillow numpy librosa
    v/bin/python engine/benches/compare.py
"""

import io
import os
import time

for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:
    os.environ[name] = "1"

from pathlib import Path

import librosa
import numpy as np
from PIL import Image

PICTURE = Path(__file__).parents[2] / "tests/golden/preprocess/bench-640x480.jpg"
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def jpeg(payload):
    image = Image.open(io.BytesIO(payload)).convert("RGB").resize((224, 224), Image.BILINEAR)
    pixels = np.asarray(image).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def mel(payload):
    wave = np.frombuffer(payload, dtype="<i2").astype(np.float32) / np.float32(32768)
    power = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=80, fmin=0,
                                           fmax=8_000, pad_mode="reflect")
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)


def measure(name, work, payload):
    """The median and the least of many single runs, in microseconds."""
    for _ in range(20):
        work(payload)
    times = []
    while len(times) < 200 or sum(times) < 3e9:
        begin = time.perf_counter_ns()
        work(payload)
        times.append(time.perf_counter_ns() - begin)
    print(f"{name}: median {np.median(times) / 1e3:.1f} us, least {min(times) / 1e3:.1f} us")


measure("jpeg 640x480 to 3x224x224", jpeg, PICTURE.read_bytes())
n = np.arange(16_000)
measure("log-mel of 1 s, 80 bands", mel, (np.sin(n * n * 1e-4) * 12_000).astype("<i2").tobytes())
