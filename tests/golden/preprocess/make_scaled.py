"""Makes the pictures and the expected pixels of the tests of scaled decoding.

    python3 -m venv v && v/bin/pip install pillow numpy
    v/bin/python tests/golden/preprocess/make_scaled.py

The expected pixels are those of Pillow's own scaled decoding (`draft`) and its resize of the exact region. The tests
are in engine/tests/preprocess/scaled.rs. Everything is deterministic.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def scene(width, height):
    """Waves from coarse to fine, edges at an angle, and a little noise, in three different colours."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = x / width, y / height
    waves = [np.sin(20 * u * (1 + 2 * v)), np.sin(25 * v * (1 + u)), np.sin(18 * (u + v * v))]
    image = np.stack([128 + 70 * wave for wave in waves], axis=-1)
    image[(3 * u + v) % 0.7 < 0.1] = [220, 60, 40]
    image += np.random.default_rng(5).normal(0, 4, (height, width, 1))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


scene(333, 251).save(HERE / "scaled-333x251.jpg", quality=90)
scene(1920, 1080).save(HERE / "bench-1920x1080.jpg", quality=75)
for shrink, size in ((2, (70, 55)), (4, (33, 24)), (8, (20, 15))):
    picture = Image.open(HERE / "scaled-333x251.jpg")
    picture.draft("RGB", (333 // shrink, 251 // shrink))
    picture.load()
    assert picture.size == (-(-333 // shrink), -(-251 // shrink))
    for name, kind in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
        made = picture.resize(size, kind, box=(0, 0, 333 / shrink, 251 / shrink))
        np.asarray(made).tofile(HERE / f"scaled-{shrink}-{name}.u8")
