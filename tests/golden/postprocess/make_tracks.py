"""Makes the golden cases of tracks.

    python3 -m venv v && v/bin/pip install numpy
    v/bin/python tests/golden/postprocess/make_tracks.py

The reference is written plainly, from the definition and apart from Lockstep's own code: the whole matrix of overlaps, of which
the greatest entry is taken until none is left.
"""

import json
import math
from pathlib import Path

import numpy as np

random = np.random.default_rng(7)
NAN, INF = float("nan"), float("inf")
MS = 1_000_000


def overlaps(a, b):
    """The matrix of intersections over unions, in f64; 0 where a box has no area or a coordinate is not finite."""
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    with np.errstate(all="ignore"):
        sound = [np.isfinite(x).all(1) & (x[:, 2] > x[:, 0]) & (x[:, 3] > x[:, 1]) for x in (a, b)]
        width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
        height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
        shared = np.clip(width, 0, None) * np.clip(height, 0, None)
        areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
        iou = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    return np.where(sound[0][:, None] & sound[1][None, :], iou, 0.0)


def tracked(bundles, min_iou, max_age_ns):
    """The tracks of each bundle's detections. `bundles` are (event time, boxes, classes)."""
    live, count, out = {}, 0, []
    for time, boxes, classes in bundles:
        live = {id: track for id, track in live.items() if abs(time - track[2]) <= max_age_ns}
        ids, numbers = [None] * len(boxes), sorted(live)
        if boxes and numbers:
            iou = overlaps([live[id][0] for id in numbers], boxes)
            same = np.array([[live[id][1] == kind for kind in classes] for id in numbers])
            iou = np.where(same & (iou > 0) & (iou >= np.float64(np.float32(min_iou))), iou, -1.0)
            while iou.max() > 0:
                # argmax takes the first of equals: the older track, then the earlier detection.
                row, column = np.unravel_index(iou.argmax(), iou.shape)
                ids[column] = numbers[row]
                iou[row, :] = iou[:, column] = -1
        for place, box in enumerate(boxes):
            if overlaps([box], [box])[0, 0] <= 0:
                continue
            if ids[place] is None:
                count += 1
                ids[place] = count
            live[ids[place]] = (box, classes[place], time)
        out.append(ids)
    return out


def case(name, bundles, min_iou=0.3, max_age_ns=1000 * MS):
    plain = lambda x: float(x) if math.isfinite(x) else None
    shown = [
        {
            "event_time_ns": time,
            "detections": [
                {"box": [plain(x) for x in box]} | ({} if kind is None else {"class": kind})
                for box, kind in zip(boxes, classes)
            ],
            "tracks": ids,
        }
        for (time, boxes, classes), ids in zip(bundles, tracked(bundles, min_iou, max_age_ns))
    ]
    return {"name": name, "min_iou": min_iou, "max_age_ns": max_age_ns, "bundles": shown}


def at(ms, *boxes, classes=None):
    boxes = [list(map(float, box)) for box in boxes]
    return (ms * MS, boxes, classes or [None] * len(boxes))


A, B = (0, 0, 10, 10), (30, 0, 40, 10)
cases = [
    case("two objects change places in the list", [at(0, A, B), at(40, B, A), at(80, A, B)]),
    case("an object is missing for a while", [at(0, A, B), at(500, B), at(1000, A, B), at(1999, A), at(2001, A, B)]),
    case("an age of zero", [at(0, A), at(0, A), at(1, A)], max_age_ns=0),
    case("the clock steps back", [at(5000, A), at(4500, A), at(1000, A), at(1001, A)]),
    case("classes", [at(0, A, A, classes=[1, 2]), at(40, A, A, classes=[2, 1]), at(80, A, classes=[3])]),
    case("with and without a class", [at(0, A, classes=[0]), at(40, A), at(80, A, classes=[0])]),
    case("equal boxes", [at(0, A, A, A), at(40, A, A), at(80, A, A, A)]),
    case("the greedy choice", [at(0, (0, 0, 10, 10), (6, 0, 16, 10)), at(40, (5, 0, 15, 10), (20, 0, 30, 10))]),
    case("exactly the least overlap", [at(0, (0, 0, 10, 10)), at(40, (0, 0, 10, 5)), at(80, (0, 0, 10, 2.4))], 0.5),
    case("the whole overlap", [at(0, A), at(40, A), at(80, (0, 0, 10, 9.99))], 1.0),
    case("any overlap", [at(0, A), at(40, (9.99, 9.99, 20, 20)), at(80, (20, 20, 30, 30))], 0.0),
    case("no numbers", [at(0, A, (NAN, 0, 1, 1), (0, 0, INF, 1), (-INF, 0, INF, 1)), at(40, (NAN, 0, 10, 10), A)]),
    case("no area", [at(0, (0, 0, 0, 5), (5, 0, 0, 5), (0, 5, 5, 5)), at(40, (0, 0, 0, 5), A)]),
    case("empty bundles", [at(0), at(40), at(80, A), at(120), at(160, A)]),
]
for number in range(16):
    objects = random.integers(1, 9)
    centres = random.uniform(0, 200, (objects, 2))
    steps = random.normal(0, 6, (objects, 2))
    sizes = random.uniform(10, 60, (objects, 2))
    kinds = random.integers(0, 3, objects)
    bundles, time = [], 1_700_000_000_000
    for _ in range(12):
        time += int(random.integers(10, 400))
        order = random.permutation(objects)[: random.integers(0, objects + 1)]
        centres = centres + steps + random.normal(0, 2, centres.shape)
        corners = np.hstack([centres - sizes / 2, centres + sizes / 2]).round(2)
        classes = [int(kinds[place]) for place in order] if number % 2 else [None] * len(order)
        bundles.append(at(time, *(corners[place] for place in order), classes=classes))
    cases.append(case(f"moving objects {number}", bundles, [0.1, 0.3, 0.5][number % 3], 700 * MS))

place = Path(__file__).parent / "tracks.json"
place.write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in cases) + "\n]\n")
