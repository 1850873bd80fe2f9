"""Makes `mel-whisper-128.f32` and `mel-whisper-padded.f32` of `speechlike-16k.wav`: Whisper's spectrogram with the 128 bands
of large-v3, and with silence behind the sound, by torch.stft and the formula of the mel scale.

    python3 make_mel.py        (with torch and numpy; here torch 2.11)
"""
import math
import wave
from pathlib import Path

import numpy
import torch

HERE = Path(__file__).parent
RATE, FFT, HOP = 16_000, 400, 160


def slaney(mel):
    """The frequency of a place on Slaney's scale: linear up to 1 kHz (15 mel), then 27 steps to a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp((mel - 15) * math.log(6.4) / 27)


def filters(bands):
    highest = 15 + math.log(RATE / 2 / 1000) * 27 / math.log(6.4)
    edges = [slaney(highest * i / (bands + 1)) for i in range(bands + 2)]
    bank = torch.zeros(bands, FFT // 2 + 1, dtype=torch.float64)
    for band, (left, middle, right) in enumerate(zip(edges, edges[1:], edges[2:])):
        for at in range(FFT // 2 + 1):
            frequency = at * RATE / FFT
            height = min((frequency - left) / (middle - left), (right - frequency) / (right - middle))
            bank[band, at] = max(0, height) * 2 / (right - left)
    return bank


def whisper(sound, bands):
    """In double precision. As in Whisper, the last frame is dropped."""
    window = torch.hann_window(FFT, dtype=torch.float64)
    spectrum = torch.stft(sound, FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True)
    log = (filters(bands) @ spectrum[:, :-1].abs() ** 2).clamp(min=1e-10).log10()
    return (log.maximum(log.max() - 8) + 4) / 4


if __name__ == "__main__":
    with wave.open(str(HERE / "speechlike-16k.wav")) as file:
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    sound = torch.from_numpy(samples / 32768)
    for name, made in [
        ("mel-whisper-128", whisper(sound, 128)),
        ("mel-whisper-padded", whisper(torch.nn.functional.pad(sound, (0, len(sound))), 80)),
    ]:
        (HERE / f"{name}.f32").write_bytes(made.numpy().astype("<f4").tobytes())
        print(name, list(made.shape))
