"""Makes the cases and the expected pixels of the tests of crops and of alignment by landmarks.

    python3 -m venv v && v/bin/pip install pillow numpy
    v/bin/python tests/golden/preprocess/make_crops.py

Crops are Pillow's resize of a box of floats. A box that crosses the edge of the image is taken from the image on a larger
canvas. Alignment is numpy's: Umeyama's transform by singular values, then bilinear sampling in double precision. The tests
are in engine/tests/preprocess/crops.rs. Everything is deterministic.
"""

import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
FILL = (10, 200, 30)


def region(box, margin, aspect, target):
    x1, y1, x2, y2 = box
    width, height = (x2 - x1) * (1 + 2 * margin), (y2 - y1) * (1 + 2 * margin)
    wanted = {"keep": width / height, "square": 1.0, "target": target[0] / target[1]}[aspect]
    width, height = max(width, height * wanted), max(height, width / wanted)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def crop(image, box, margin, aspect, kind, target):
    left, top, right, bottom = region(box, margin, aspect, target)
    edge = 0
    if left < 0 or top < 0 or right > image.width or bottom > image.height:
        edge = int(max(-left, -top, right - image.width, bottom - image.height)) + 64
        image = ImageOps.expand(image.convert("RGB"), edge, FILL)
    place = (left + edge, top + edge, right + edge, bottom + edge)
    return image.convert("RGB").resize(target, FILTERS[kind], box=place)


def umeyama(source, target):
    """Scale, rotation and shift that move `source` to `target`: equations 40 to 42 of Umeyama (1991)."""
    source, target = np.asarray(source, float), np.asarray(target, float)
    of_source, of_target = source.mean(0), target.mean(0)
    a, b = source - of_source, target - of_target
    u, d, v = np.linalg.svd(b.T @ a / len(a))
    s = np.eye(2)
    if np.linalg.det(u) * np.linalg.det(v) < 0:
        s[1, 1] = -1
    rotation = u @ s @ v
    scale = (d * np.diag(s)).sum() / a.var(0).sum()
    return scale * rotation, of_target - scale * rotation @ of_source


def aligned(image, landmarks, points, target):
    matrix, shift = umeyama(landmarks, points)
    pixels = np.asarray(image.convert("RGB"), float)
    height, width, _ = pixels.shape
    x, y = np.meshgrid(np.arange(target[0]) + 0.5, np.arange(target[1]) + 0.5)
    row = np.stack([x, y], -1) - shift
    at = row @ np.linalg.inv(matrix).T - 0.5
    low = np.floor(at).astype(int)
    share = at - low
    total = np.zeros((target[1], target[0], 3))
    for across in (0, 1):
        for down in (0, 1):
            u, v = low[..., 0] + across, low[..., 1] + down
            inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
            value = np.where(inside[..., None], pixels[v.clip(0, height - 1), u.clip(0, width - 1)], FILL)
            weight = np.where(across, share[..., 0], 1 - share[..., 0]) * np.where(down, share[..., 1], 1 - share[..., 1])
            total += value * weight[..., None]
    return np.floor(total + 0.5).astype(np.uint8)


scene, gray = Image.open(HERE / "scene.png"), Image.open(HERE / "gray.jpg")
width, height = scene.size
boxes = [
    [0.2 * width, 0.3 * height, 0.5 * width, 0.7 * height],
    [17.25, 9.5, 31.75, 22.125],
    [0.0, 0.0, float(width), float(height)],
    [-6.4, 4.0, 22.3, 25.9],
    [0.7 * width, 0.6 * height, 1.2 * width, 1.1 * height],
    [-0.5 * width, -0.5 * height, 1.5 * width, 1.5 * height],
    [12.1, 10.2, 14.9, 11.3],
    [12.1, 10.2, 12.2, 10.3],
]
settings = [
    (0.0, "keep", "bilinear", (24, 18)),
    (0.2, "square", "bilinear", (32, 32)),
    (0.25, "target", "bilinear", (20, 40)),
    (0.1, "keep", "bicubic", (19, 27)),
    (0.0, "square", "nearest", (16, 16)),
]
cases, pixels = [], bytearray()
for name, image in (("scene.png", scene), ("gray.jpg", gray)):
    for box in boxes:
        for margin, aspect, kind, target in settings:
            made = crop(image, box, margin, aspect, kind, target)
            pixels += np.asarray(made).tobytes()
            cases.append(dict(image=name, box=box, margin=margin, aspect=aspect, filter=kind, size=target, fill=FILL))

# Regions that are far larger than the image, so that it is a few pixels of the row.
far = [
    ([-900.5, -700.0, 1000.0, 800.25], "bilinear", (24, 18)),
    ([-900.5, -700.0, 1000.0, 800.25], "bicubic", (19, 27)),
    ([-3000.0, -20.0, 80.0, 3060.0], "bilinear", (40, 50)),
    ([-700.0, -300.0, 60.0, 50.0], "bicubic", (64, 48)),
    ([-700.3, -300.1, 60.2, 50.6], "nearest", (33, 65)),
    ([-2.0, -3000.0, 70.0, 3000.0], "bilinear", (16, 3)),
]
for name, image in (("scene.png", scene), ("gray.jpg", gray)):
    for box, kind, target in far:
        made = crop(image, box, 0.0, "keep", kind, target)
        pixels += np.asarray(made).tobytes()
        cases.append(dict(image=name, box=box, margin=0.0, aspect="keep", filter=kind, size=target, fill=FILL))

# Five points of a face for 112 x 112 pixels, as recognisers of faces take them.
FACE = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]


def face(x, y, scale, angle, seed):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    noise = np.random.default_rng(seed).normal(0, 0.05 * scale * 50, (5, 2))
    return ((np.array(FACE) - 56) @ turn.T + [x, y] + noise).tolist()


faces = [
    face(0.5 * width, 0.5 * height, 0.2, 0.0, 1),
    face(0.4 * width, 0.6 * height, 0.35, 0.6, 2),
    face(0.1 * width, 0.2 * height, 0.3, -2.4, 3),
    face(0.9 * width, 0.5 * height, 1.2, 3.0, 4),
]
# A mirrored face: no similarity transform mirrors, so the best one is far off.
faces.append([[-x + width, y] for x, y in faces[0]])
for name, image in (("scene.png", scene), ("gray.jpg", gray)):
    for landmarks in faces:
        pixels += aligned(image, landmarks, FACE, (112, 112)).tobytes()
        cases.append(dict(image=name, landmarks=landmarks, points=FACE, size=(112, 112), fill=FILL))

(HERE / "crops.json").write_text(json.dumps(cases) + "\n")

(HERE / "crops.z").write_bytes(zlib.compress(bytes(pixels), 9))
print(len(cases), "cases", len(pixels), "bytes", scene.size, gray.size, gray.mode)
