"""Downloads one wheel from the package index that pip is configured for, and can go on where it stopped.

pip itself starts every download anew. So pip's own index client is used as a library, in one pinned
version: it brings the user's index, proxy, certificates and credentials, and the download is ours.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

TRIES = 8


class FetchError(Exception):
    """What went wrong, in one line for a person."""


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def import_pinned_pip(requirement, digest, directory):
    """Makes `import pip` mean the pinned one; fetches it with the pip at hand."""
    wheel = directory / f"{requirement.replace('==', '-')}-py3-none-any.whl"
    if not (wheel.exists() and sha256(wheel) == digest):
        locked = directory / "pip.txt"
        locked.write_text(f"{requirement} --hash=sha256:{digest}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "--dest", str(directory), "--requirement", str(locked)]
        if subprocess.run(command, check=False).returncode != 0:
            raise FetchError(f"pip could not fetch {requirement}: is the package index within reach?")
        locked.unlink()
    sys.path.insert(0, str(wheel))


def download(requirement, platforms, digest, directory):
    """The path of the wheel in `directory`, complete and with the right checksum."""
    # The pinned pip is on sys.path by now.
    from pip._internal.commands.download import DownloadCommand
    from pip._internal.cli.cmdoptions import make_target_python

    name, version = requirement.split("==")
    arguments = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--python-version=3.11"]
    arguments += [f"--platform={tag}" for tag in platforms] + [requirement]
    command = DownloadCommand("download", "")
    with command.main_context():
        options, _ = command.parse_args(arguments)
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session, make_target_python(options))
        links = [found.link for found in finder.find_all_candidates(name) if str(found.version) == version]
        links.sort(key=lambda link: link.hash == digest)
        if not links:
            raise FetchError(f"the package index has no wheel of {requirement} for {platforms or 'any platform'}")
        link = links[-1]
        wheel = directory / link.filename
        if wheel.exists() and sha256(wheel) == digest:
            return wheel
        part = directory / f"{link.filename}.part"
        if link.is_file:
            shutil.copyfile(link.file_path, part)
        else:
            _fetch(session, link, part)
    if (got := sha256(part)) != digest:
        part.unlink()
        raise FetchError(f"{link.filename} has the checksum {got}, but {digest} was pinned; it was removed")
    part.rename(wheel)
    return wheel


def _fetch(session, link, part):
    from pip._vendor.requests import RequestException
    from pip._vendor.urllib3.exceptions import HTTPError

    for attempt in range(1, TRIES + 1):
        try:
            _fetch_rest(session, link, part)
            return
        except (RequestException, HTTPError, OSError) as error:
            if attempt == TRIES:
                done = f"{part.stat().st_size / 1e6:.0f} MB are kept" if part.exists() else "nothing came"
                raise FetchError(f"{link.filename}: {error}; {done}, run it again to go on") from error
            time.sleep(min(2**attempt, 30))


def _fetch_rest(session, link, part):
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with session.get(link.url_without_fragment, headers=headers, stream=True) as response:
        if response.status_code == 416:  # nothing is left: the checksum will tell
            return
        response.raise_for_status()
        if response.status_code != 206:
            done = 0
        total = done + int(response.headers.get("content-length", 0))
        progress = Progress(link.filename, done, total)
        with open(part, "ab" if done else "wb") as file:
            for chunk in response.iter_content(1 << 18):
                file.write(chunk)
                progress.add(len(chunk))
        progress.end()
        if total and progress.done < total:
            raise OSError("the connection ended early")


class Progress:
    """One line that is rewritten on a terminal; a line for every quarter elsewhere."""

    def __init__(self, name, done, total):
        self.name, self.done, self.total = name, done, total
        self.began, self.began_at = time.monotonic(), done
        self.shown, self.terminal = 0.0, sys.stderr.isatty()
        self.quarter = 4 * done // total if total else 0
        if done:
            print(f"setup: {name}: going on after {done / 1e6:.0f} MB", file=sys.stderr)

    def add(self, count):
        self.done += count
        now = time.monotonic()
        if self.terminal and now - self.shown > 0.2:
            self.shown = now
            print(f"\r{self._line(now)}", end="", file=sys.stderr, flush=True)
        elif not self.terminal and self.total > 50e6 and 4 * self.done // self.total > self.quarter:
            self.quarter = 4 * self.done // self.total
            print(self._line(now), file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print(f"\r{self._line(time.monotonic())}", file=sys.stderr)

    def _line(self, now):
        rate = (self.done - self.began_at) / max(now - self.began, 0.001) / 1e6
        share = f"{100 * self.done / self.total:3.0f} %" if self.total else "     "
        return f"setup: {self.name}: {share} {self.done / 1e6:7.1f} MB, {rate:5.1f} MB/s"
