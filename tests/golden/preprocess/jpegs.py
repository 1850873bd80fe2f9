"""Makes some hundreds of small JPEGs of all kinds, and what Pillow decodes of each.

    apt-get install libjpeg-turbo-progs
    python3 -m venv v && v/bin/pip install pillow numpy
    v/bin/python tests/golden/preprocess/jpegs.py

jpegs.tsv has a line for each: its name, its length, the outcome (`ok`, `damaged`, `refused`), width and height after turning,
and the CRC-32 of its RGB pixels by Pillow. jpegs.z has the files one after the other, compressed by zlib. The cases are
those of engine/tests/preprocess/jpegs.rs.
"""

import io
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

HERE = Path(__file__).parent
cases = {}


def scene(width, height, seed=5):
    """Smooth colours with an edge and some texture."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, 14, (height, width))
    image = np.stack([128 + 100 * np.sin(x / 7 + y / 5), 255 * y / height + noise, 200 - 5 * x + 2 * y], axis=-1)
    image[(x - width / 2) ** 2 + (y - height / 3) ** 2 < (height / 4) ** 2] = [230, 40, 60]
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def run(program, arguments, data):
    return subprocess.run([program, *arguments], input=data, capture_output=True, check=True).stdout


def cjpeg(image, *arguments):
    out = io.BytesIO()
    image.save(out, "PPM")
    return run("cjpeg", arguments, out.getvalue())


def scans(script, data, *more):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(script)
        file.flush()
        return run("jpegtran", ["-scans", file.name, *more], data)


def segments(data):
    """(marker, from, to) of each segment, a scan's data with its header, up to and with the end-of-image marker."""
    at, found = 2, []
    while True:
        marker = data[at + 1]
        if marker == 0xD9:
            found.append((marker, at, at + 2))
            return found
        to = at + 2 + int.from_bytes(data[at + 2:at + 4], "big")
        if marker == 0xDA:
            while not (data[to] == 0xFF and data[to + 1] != 0 and not 0xD0 <= data[to + 1] <= 0xD7):
                to += 1
        found.append((marker, at, to))
        at = to


def insert(data, at, more):
    return data[:at] + more + data[at:]


def add(name, data, outcome="ok"):
    assert name not in cases, name
    cases[name] = (data, outcome)


def without(data, *markers):
    for marker, start, end in reversed(segments(data)):
        if marker in markers:
            data = data[:start] + data[end:]
    return data


def restarts(data):
    """Where the restart markers are."""
    _, start, end = next(one for one in segments(data) if one[0] == 0xDA)
    return [at for at in range(start + 4, end - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]


def exif(orientation, order="<"):
    word = (lambda n: n.to_bytes(2, "little")) if order == "<" else (lambda n: n.to_bytes(2, "big"))
    long = (lambda n: n.to_bytes(4, "little")) if order == "<" else (lambda n: n.to_bytes(4, "big"))
    tiff = (b"II" if order == "<" else b"MM") + word(42) + long(8) + word(1)
    tiff += word(0x112) + word(3) + long(1) + word(orientation) + word(0) + long(0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


SAMPLINGS = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "3x1", "1x1,2x2,2x2", "1x1,2x1,2x1", "1x2,1x1,1x1",
             "2x2,2x1,2x1", "2x2,1x2,1x2", "2x2,2x1,1x2", "2x1,1x2,1x1", "1x1,1x1,2x2"]
APART = "0; 1; 2;"
PARTLY = "0; 1 2;"
SLOWLY = ("0,1,2: 0-0, 0, 2; 0: 1-5, 0, 2; 1: 1-63, 0, 1; 2: 1-63, 0, 1; 0: 6-63, 0, 2; 0: 1-63, 2, 1; 0,1,2: 0-0, 2, 1;"
          "0,1,2: 0-0, 1, 0; 1: 1-63, 1, 0; 2: 1-63, 1, 0; 0: 1-63, 1, 0;")


def kinds():
    picture, odd = scene(37, 29), scene(17, 33)
    for sampling in SAMPLINGS:
        name = sampling.replace(",", "-")
        plain = cjpeg(picture, "-quality", "80", "-sample", sampling)
        add(f"baseline-{name}", plain)
        add(f"apart-{name}", scans(APART, plain))
        add(f"partly-{name}", scans(PARTLY, plain))
        add(f"optimized-{name}", cjpeg(odd, "-quality", "92", "-sample", sampling, "-optimize"))
        add(f"progressive-{name}", cjpeg(odd, "-quality", "70", "-sample", sampling, "-progressive"))
        add(f"arithmetic-{name}", cjpeg(odd, "-quality", "85", "-sample", sampling, "-arithmetic"))
        add(f"arithmetic-progressive-{name}",
            cjpeg(picture, "-quality", "60", "-sample", sampling, "-arithmetic", "-progressive"))
        add(f"restart-{name}", cjpeg(picture, "-quality", "75", "-sample", sampling, "-restart", "1B"))
        add(f"restart-rows-progressive-{name}",
            cjpeg(picture, "-quality", "75", "-sample", sampling, "-restart", "1", "-progressive"))
        add(f"slowly-{name}", scans(SLOWLY, plain, "-progressive"))
    for quality in [1, 5, 25, 50, 98, 100]:
        add(f"quality-{quality}", cjpeg(picture, "-quality", str(quality)))
        add(f"quality-{quality}-gray", cjpeg(picture, "-quality", str(quality), "-grayscale"))
    for width, height in [(1, 1), (1, 16), (16, 1), (2, 2), (7, 5), (8, 8), (9, 8), (15, 16), (16, 16), (17, 17), (33, 31)]:
        for sampling in ["1x1", "2x1", "2x2", "4x1"]:
            add(f"size-{width}x{height}-{sampling}", cjpeg(scene(width, height), "-sample", sampling))
    for name, more in [("baseline", []), ("progressive", ["-progressive"]), ("arithmetic", ["-arithmetic"]),
                       ("restart", ["-restart", "2B"])]:
        add(f"gray-{name}", cjpeg(picture, "-grayscale", *more))
        add(f"rgb-{name}", cjpeg(picture, "-rgb", *more))
    for quality in [40, 90]:
        for progressive in [False, True]:
            out = io.BytesIO()
            ink = np.asarray(picture.convert("CMYK")).copy()
            ink[..., 3] = np.mgrid[0:29, 0:37][1] * 5
            Image.fromarray(ink, "CMYK").save(out, "JPEG", quality=quality, progressive=progressive)
            cmyk = out.getvalue()
            add(f"cmyk-{quality}-{progressive}", cmyk)
            adobe = cmyk.index(b"Adobe") + 11
            add(f"ycck-{quality}-{progressive}", cmyk[:adobe] + b"\x02" + cmyk[adobe + 1:])
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80, subsampling=1, icc_profile=b"profile" * 9, comment=b"a comment",
                 dpi=(72, 72), optimize=True)
    add("icc-and-comment", out.getvalue())


def markers():
    picture = scene(37, 29)
    plain = cjpeg(picture, "-quality", "80")
    apart = scans(APART, plain)
    marks = segments(plain)
    table = next(start for marker, start, _ in marks if marker == 0xDB)
    frame = next(start for marker, start, _ in marks if marker == 0xC0)
    scan = next(start for marker, start, _ in marks if marker == 0xDA)
    for name, at in [("tables", table), ("frame", frame), ("scan", scan)]:
        add(f"stray-before-{name}", insert(plain, at, b"\0\0\x17"))
        add(f"stray-0xff00-before-{name}", insert(plain, at, b"\xff\0\x55\xff\0"))
        add(f"fill-before-{name}", insert(plain, at, b"\xff" * 7))
        add(f"restart-before-{name}", insert(plain, at, b"\xff\xd3"))
    between = [start for marker, start, _ in segments(apart) if marker == 0xDA][1]
    add("fill-between-scans", insert(apart, between, b"\xff\xff"))
    huffman = [(start, end) for marker, start, end in segments(apart) if marker == 0xC4][-1]
    add("stray-behind-tables-between-scans", insert(apart, huffman[1], b"\x01\x02\x03"))
    add("without-jfif", without(plain, 0xE0))
    version = plain.index(b"JFIF\0") + 5
    add("jfif-2", plain[:version] + b"\x02" + plain[version + 1:])
    avi1 = b"\xff\xe0\x00\x10AVI1\x00" + b"\0" * 9
    add("mjpeg-without-tables", without(plain, 0xC4))
    add("mjpeg-avi1", insert(without(plain, 0xE0, 0xC4), 2, avi1))
    gray = cjpeg(picture, "-grayscale")
    add("mjpeg-gray-without-tables", without(gray, 0xC4))
    field = insert(without(plain, 0xE0, 0xC4), 2, b"\xff\xe0\x00\x10AVI1\x01" + b"\0" * 9)
    add("mjpeg-one-field", field)
    add("mjpeg-two-fields", field + field.replace(b"AVI1\x01", b"AVI1\x02"), "refused")
    add("padded", plain + b"\0" * 50)
    add("padded-0xff", plain[:-2] + b"\xff" * 20 + plain[-2:])
    for count in [1, 4, 16]:
        add(f"zeros-before-end-{count}", plain[:-2] + b"\0" * count + plain[-2:])
    add("zeros-before-end-40", plain[:-2] + b"\0" * 40 + plain[-2:], "damaged")
    add("byte-before-end", plain[:-2] + b"\x5a" + plain[-2:], "damaged")
    add("bytes-before-end", plain[:-2] + b"\x5a\x12\x77\x00\x31" + plain[-2:], "damaged")
    add("restart-before-end", plain[:-2] + b"\xff\xd0" + plain[-2:])
    intervals = cjpeg(picture, "-quality", "80", "-restart", "1B")
    spaced = intervals
    for at in reversed(restarts(intervals)):
        spaced = insert(spaced, at, b"\0\0\0")
    add("zeros-before-restarts", spaced)
    spaced = intervals
    for at in reversed(restarts(intervals)):
        spaced = insert(spaced, at, b"\xff\xff")
    add("fill-before-restarts", spaced)
    add("byte-before-restart", insert(intervals, restarts(intervals)[1], b"\x33"), "damaged")
    apart_end = [end for marker, _, end in segments(apart) if marker == 0xDA][0]
    add("zeros-between-scans", insert(apart, apart_end, b"\0\0"))
    add("followed-by-another", plain + gray)
    add("followed-by-text", plain + b"--boundary\r\n")
    add("many-comments", insert(plain, 2, b"\xff\xfe\x00\x06abcd" * 40))
    # An APP1 that holds a whole JPEG, as thumbnails are.
    add("thumbnail", insert(plain, table, b"\xff\xe1" + (len(gray) + 2).to_bytes(2, "big") + gray))
    zeros = bytearray(plain)
    count = zeros[scan + 4]
    zeros[scan + 5 + 2 * count:scan + 8 + 2 * count] = b"\0\0\0"
    add("zero-scan-parameters", bytes(zeros))
    for orientation in range(9):
        for order in "<>":
            add(f"exif-{orientation}-{'little' if order == '<' else 'big'}",
                insert(plain, 2, exif(orientation, order)))
    add("exif-6-gray", insert(gray, 2, exif(6)))
    add("exif-8-progressive", insert(cjpeg(picture, "-progressive"), 2, exif(8)))
    add("exif-behind-tables", insert(plain, frame, exif(3)))
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0"
    add("adobe-ycc", insert(without(plain, 0xE0), 2, adobe + b"\x01"))
    add("adobe-rgb", insert(without(plain, 0xE0), 2, adobe + b"\x00"))
    add("adobe-unknown", insert(without(plain, 0xE0), 2, adobe + b"\x07"), "damaged")
    add("odd-component-ids", renumbered(plain, [9, 40, 200]))
    add("rgb-component-ids", renumbered(without(plain, 0xE0), [ord("R"), ord("G"), ord("B")]))
    add("bits-12", plain[:frame + 4] + b"\x0c" + plain[frame + 5:], "refused")
    add("lossless", plain[:frame + 1] + b"\xc3" + plain[frame + 2:], "refused")
    add("height-0", plain[:frame + 5] + b"\0\0" + plain[frame + 7:], "refused")
    add("two-images-nested", insert(plain, table, b"\xff\xd8"), "refused")
    add("two-frames", insert(plain, scan, plain[frame:marks[marks.index((0xC0, *next(
        (s, e) for m, s, e in marks if m == 0xC0)))][2]]), "refused")
    add("unknown-marker", insert(plain, scan, b"\xff\x42\x00\x04ab"), "refused")
    add("without-quantization", without(plain, 0xDB), "refused")
    add("headers-only", plain[:scan], "refused")
    add("no-scan", plain[:scan] + b"\xff\xd9", "refused")


def renumbered(data, ids):
    data = bytearray(data)
    for marker, start, _ in segments(bytes(data)):
        if marker == 0xC0:
            for place, name in enumerate(ids):
                data[start + 10 + 3 * place] = name
        if marker == 0xDA:
            for place, name in enumerate(ids):
                data[start + 5 + 2 * place] = name
    return bytes(data)


def damage():
    picture = scene(48, 48)
    files = {
        "baseline": cjpeg(picture, "-quality", "85", "-sample", "2x2"),
        "baseline-444": cjpeg(picture, "-quality", "85", "-sample", "1x1"),
        "optimized": cjpeg(picture, "-quality", "85", "-optimize"),
        "progressive": cjpeg(picture, "-quality", "85", "-progressive"),
        "arithmetic": cjpeg(picture, "-quality", "85", "-arithmetic"),
        "gray": cjpeg(picture, "-quality", "85", "-grayscale"),
        "restart": cjpeg(picture, "-quality", "85", "-sample", "1x1", "-restart", "1B"),
        "apart": scans(APART, cjpeg(picture, "-quality", "85")),
    }
    for name, data in files.items():
        first = next(start for marker, start, _ in segments(data) if marker == 0xDA)
        for share in [0.1, 0.5, 0.9]:
            keep = first + 14 + int((len(data) - first - 16) * share)
            while data[keep - 1] == 0xFF:
                keep -= 1
            cut = data[:keep]
            if name == "arithmetic":
                # Its decoder pads with zeros, as its encoders leave them away.
                add(f"cut-{name}-{share}", cut, "damaged")
            else:
                add(f"cut-{name}-{share}", cut, "damaged")
                add(f"cut-{name}-{share}-with-end", cut + b"\xff\xd9", "damaged")
            add(f"cut-{name}-{share}-with-next", cut + data, "damaged")
        add(f"without-end-{name}", data[:-2], "damaged")
        if name not in ("arithmetic",):
            middle = first + 40
            add(f"removed-{name}", data[:middle] + data[middle + 60:], "damaged")
            add(f"zeroed-{name}", data[:middle] + b"\0" * 100 + data[middle + 100:], "damaged")
    restart = files["restart"]
    places = restarts(restart)
    for place in [0, 3, len(places) - 1]:
        at = places[place]
        add(f"restart-{place}-lost", restart[:at] + restart[at + 2:], "damaged")
        add(f"restart-{place}-misnumbered",
            restart[:at + 1] + bytes([0xD0 + (restart[at + 1] + 3) % 8]) + restart[at + 2:], "damaged")
    lost = restart
    for at in reversed(places):
        lost = lost[:at] + lost[at + 2:]
    add("restarts-all-lost", lost, "damaged")
    add("restart-interval-lost", restart[:places[2]] + restart[places[3]:], "damaged")
    add("restart-8-intervals-lost", restart[:places[0]] + restart[places[8]:], "damaged")
    for name in ["progressive", "apart"]:
        data = files[name]
        of_scans = [(start, end) for marker, start, end in segments(data) if marker == 0xDA]
        for place, (start, end) in enumerate(of_scans):
            if len(of_scans) == 1 or (name == "apart" and place > 2):
                continue
            add(f"scan-{place}-missing-{name}", data[:start] + data[end:], "damaged")
        start, end = of_scans[1]
        add(f"scan-twice-{name}", data[:end] + data[start:end] + data[end:], "damaged")
        add(f"ends-behind-first-scan-{name}", data[:of_scans[0][1]] + b"\xff\xd9", "damaged")


def pillow(data):
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    with Image.open(io.BytesIO(data)) as image:
        image = ImageOps.exif_transpose(image)
        return image.convert("RGB")


kinds()
markers()
damage()
lines, blob = [], b""
for name, (data, outcome) in cases.items():
    if outcome == "ok":
        image = pillow(data)
        sum32 = f"{zlib.crc32(image.tobytes()):08x}"
        lines.append(f"{name}\t{len(data)}\t{outcome}\t{image.width}\t{image.height}\t{sum32}")
    else:
        size = "-\t-"
        if outcome == "damaged":
            with Image.open(io.BytesIO(data)) as image:
                size = f"{image.width}\t{image.height}"
        lines.append(f"{name}\t{len(data)}\t{outcome}\t{size}\t-")
    blob += data
(HERE / "jpegs.tsv").write_text("\n".join(lines) + "\n")
(HERE / "jpegs.z").write_bytes(zlib.compress(blob, 9))
print(len(cases), "files,", len(blob), "bytes,", (HERE / "jpegs.z").stat().st_size, "compressed")
