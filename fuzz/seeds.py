"""Writes what the fuzz targets begin with into seeds/: the media and models of the repository, and texts of each kind."""

import struct
import zlib
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "tests/golden/preprocess"

CONTENT_TYPES = """text/plain; charset=utf-8|image/jpeg|image/png|audio/wav|audio/flac|audio/L16;rate=8000;channels=2
audio/L24; rate=48000|audio/basic|audio/PCMU;rate=16000|audio/PCMA|audio/pcm;rate=16000;encoding=ulaw|audio/pcm;bits=24;rate=8000
audio/pcm;rate=16000;format=f32le|audio/x-raw, format=(string)S16LE, rate=(int)16000, channels=(int)1, layout=(string)interleaved
image/x-rgb;width=640;height=480|video/x-raw, format=RGB, width=64, height=48|audio/x-wav;codec="1"|application/json"""


def deflated(body):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(body) + deflate.flush()


def write(target, name, data):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def copy(target, paths):
    for path in paths:
        write(target, path.parent.parent.name + "-" + path.name, path.read_bytes())


copy("wav", GOLDEN.glob("*.wav"))
copy("flac", GOLDEN.glob("*.flac"))
copy("jpeg", (path for path in GOLDEN.glob("*.jpg") if path.stat().st_size < 16384))
copy("manifest", HERE.parent.glob("models/*/*/model.toml"))

for pattern in ("*.safetensors", "*.index.json"):
    copy("weights", HERE.parent.glob(f"backends/*/tests/sharded/{pattern}"))

blob, at = zlib.decompress((GOLDEN / "jpegs.z").read_bytes()), 0
for line in (GOLDEN / "jpegs.tsv").read_text().splitlines():
    name, length = line.split("\t")[:2]
    write("jpeg", name, blob[at : at + int(length)])
    at += int(length)

types = CONTENT_TYPES.replace("\n", "|").split("|")
for number, text in enumerate(types):
    write("content_type", str(number), text.encode())
    write("headers", str(number), b"\x10" + text.encode())
write("headers", "times", b"\x142026-03-01T12:00:00Z\0\x161772366400000000000\0\x1742\0\x18one\0\x13identity")
write("headers", "named", b"\x1acontent_type:text/plain\0\x1bContent-Type:text/plain\0\x12text/plain")

# A base, version, form and body, as the target of completion maps takes them apart.
for number, body in enumerate([b"", b"\x01\x02", b"\x05\x01\x03\x02\x80\x01", bytes(range(40)), b"\xff" * 9 + b"\x01"]):
    for form in range(3):
        for text in (body, deflated(body)):
            write("completion", f"{number}-{form}-{len(text)}", struct.pack("<qBB", 1000 * number, 1, form) + text)
