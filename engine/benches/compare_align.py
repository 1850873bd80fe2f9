"""The work of benches/align by pandas and polars, on one thread: what people do off line with the same columns.

    python3 -m venv v && v/bin/pip install pandas polars
    v/bin/python engine/benches/compare_align.py

Three inputs of 100 000 samples each, 40 ms apart in each stream: to every sample of the first the nearest of the second
within 40 ms and the latest of the third within a second. All columns are there at once and sorted, as both want them;
Lockstep's aligner takes the same samples one by one, in any order within bounds, and tells each bundle as it closes.
"""

import os
import time

os.environ["POLARS_MAX_THREADS"] = "1"
for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]:
    os.environ[name] = "1"

import numpy as np
import pandas as pd
import polars as pl

MS = 1_000_000
EACH = 100_000


def columns(streams):
    """Event times, ascending over all streams, and the streams that they belong to, for each input."""
    rounds = EACH // streams
    at = np.repeat(np.arange(rounds, dtype=np.int64) * 40 * MS, streams)
    stream = np.tile(np.arange(streams, dtype=np.int64), rounds)
    return [{"t": at + offset * MS, "stream": stream, name: np.arange(len(at))}
            for name, offset in [("video", 0), ("sound", 7), ("text", -11)]]


def by_pandas(video, sound, text):
    near = pd.merge_asof(video, sound, on="t", by="stream", direction="nearest", tolerance=40 * MS)
    return pd.merge_asof(near, text, on="t", by="stream", direction="backward", tolerance=1000 * MS)


def by_polars(video, sound, text):
    near = video.join_asof(sound, on="t", by="stream", strategy="nearest", tolerance=40 * MS, check_sortedness=False)
    return near.join_asof(text, on="t", by="stream", strategy="backward", tolerance=1000 * MS, check_sortedness=False)


def measure(name, work, frames):
    """The median of several runs, in samples of all inputs a second."""
    work(*frames)
    times = []
    while len(times) < 5 or sum(times) < 2:
        begin = time.perf_counter()
        joined = work(*frames)
        times.append(time.perf_counter() - begin)
    assert len(joined) == len(frames[0])
    print(f"{name}: {3 * len(frames[0]) / np.median(times) / 1e6:.2f} M samples/s")


for streams in [1, 1000, 100_000]:
    data = columns(streams)
    measure(f"pandas merge_asof, {streams} streams", by_pandas, [pd.DataFrame(d) for d in data])
    measure(f"polars join_asof, {streams} streams", by_polars, [pl.DataFrame(d) for d in data])
