"""Makes the sound files of the kinds that devices and tools really write, and what they hold.

    python3 -m venv v && v/bin/pip install numpy soundfile
    v/bin/python tests/golden/preprocess/make_sound.py

What is expected comes from libsndfile (for FLAC from libFLAC through it) and FFmpeg, which set-up fetches. Everything is
deterministic. Numbers are raw, little-endian 32-bit floats. The cases are named in engine/tests/preprocess/golden.rs.
"""

import io
import struct
import subprocess
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
FFMPEG = HERE.parents[2] / ".setup" / "ffmpeg"
RATE = 8_000


def numbers(name, array):
    np.asarray(array, dtype="<f4").tofile(HERE / f"{name}.f32")


def tone(count):
    t = np.arange(count) / RATE
    return 0.6 * np.sin(2 * np.pi * (200 + 3_000 * t) * t) * np.hanning(count) ** 0.25


def header(tag, bits, align, data, extended=None):
    fmt = struct.pack("<HHIIHH", 0xFFFE if extended else tag, 1, RATE, RATE * align, align, bits)
    if extended:
        fmt += struct.pack("<HHIH", 22, extended, 4, tag) + bytes.fromhex("000000001000800000aa00389b71")
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def g711():
    codes = bytes(range(256))
    for name, subtype in [("ulaw", "ULAW"), ("alaw", "ALAW")]:
        values, _ = soundfile.read(io.BytesIO(codes), samplerate=RATE, channels=1, format="RAW", subtype=subtype,
                                   dtype="float32")
        numbers(f"g711-{name}", values)


def wavs():
    wave = tone(400)
    for name, options in [
        ("wild-ulaw", {"format": "WAV", "subtype": "ULAW"}),
        ("wild-alaw", {"format": "WAV", "subtype": "ALAW"}),
        ("wild-rf64", {"format": "RF64", "subtype": "PCM_16"}),
        ("wild-extensible", {"format": "WAVEX", "subtype": "PCM_24"}),
    ]:
        soundfile.write(HERE / f"{name}.wav", wave, RATE, **options)
        numbers(name, soundfile.read(HERE / f"{name}.wav", dtype="float32")[0])
    # soundfile would write the time of day into it.
    (HERE / "wild-f64.wav").write_bytes(header(3, 64, 8, wave.astype("<f8").tobytes()))
    numbers("wild-f64", soundfile.read(HERE / "wild-f64.wav", dtype="float32")[0])
    # 24 bits in 4 bytes: as arecord writes them, in the low ones, and as the standard asks, in the high ones.
    values = np.round(wave * (2**23 - 1)).astype("<i4")
    (HERE / "wild-s24-low.wav").write_bytes(header(1, 24, 4, values.tobytes()))
    (HERE / "wild-s24-high.wav").write_bytes(header(1, 32, 4, (values << 8).tobytes(), extended=24))
    packed = b"".join(int(value).to_bytes(3, "little", signed=True) for value in values)
    expected, _ = soundfile.read(io.BytesIO(header(1, 24, 3, packed)), dtype="float32")
    numbers("wild-s24", expected)


def flacs():
    wave = np.stack([tone(400), tone(400)[::-1]], axis=-1)
    soundfile.write(HERE / "wild-source.flac", wave, RATE, subtype="PCM_16")
    whole = (HERE / "wild-source.flac").read_bytes()
    (HERE / "wild-source.flac").unlink()
    expected, _ = soundfile.read(io.BytesIO(whole), dtype="float32")
    numbers("wild-flac", expected.mean(axis=1))
    # Into a pipe: no total, no checksum of the whole.
    command = [FFMPEG, "-loglevel", "error", "-i", "pipe:0", "-c:a", "flac", "-frame_size", "128", "-bitexact", "-f", "flac",
               "pipe:1"]
    piped = subprocess.run(command, input=whole, stdout=subprocess.PIPE, check=True).stdout
    assert piped[21:26] == bytes([piped[21] & 0xF0, 0, 0, 0, 0]), "a total after all"
    (HERE / "wild-pipe.flac").write_bytes(piped)
    # A recorder that says no minimum block and no total, and a program for music that tags what it finds.
    info = bytearray(whole)
    info[8:10] = b"\0\0"
    info[21:26] = bytes([info[21] & 0xF0, 0, 0, 0, 0])
    id3v2 = b"ID3\x03\0\0\0\0\0\x15TIT2\0\0\0\x0b\0\0\0abcdefghij"
    ape = b"APETAGEX" + struct.pack("<III", 2_000, 32, 0) + bytes(8) + b"APETAGEX" + struct.pack("<III", 2_000, 32, 0) + bytes(8)
    id3v1 = b"TAG" + b"song".ljust(125, b"\0")
    (HERE / "wild-tagged.flac").write_bytes(id3v2 + bytes(info) + ape + id3v1)


g711()
wavs()
flacs()
