"""Makes the inputs and the expected values of the golden tests of views.

    python3 -m venv v && v/bin/pip install numpy
    v/bin/python tests/golden/postprocess/make.py

The references are written plainly, from the definitions and apart from Lockstep's own code: NMS by the whole matrix of
overlaps, for example. All tensors lie one behind another in inputs.f32, little-endian; cases.json has the shape and the
first element of each. A number of the expectation that is no finite number is null.
"""

import json
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
random = np.random.default_rng(20)
inputs, cases = [], []
NAN, INF = float("nan"), float("inf")


def tensor(values):
    values = np.asarray(values, np.float32)
    at = sum(each.size for each in inputs)
    inputs.append(values.ravel())
    return {"shape": list(values.shape), "at": at}


def plain(value):
    """A JSON value of it; null for a number that JSON cannot express."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(each) for each in value]
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


# Activations.


def activated(name, x):
    x = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))
        if name == "softmax":
            if x.size == 0:
                return x
            # By logarithms: log softmax = x - logsumexp(x).
            most = x.max(axis=-1, keepdims=True)
            return np.exp(x - (most + np.log(np.exp(x - most).sum(axis=-1, keepdims=True))))
    return x


for kind, values in [
    ("random", random.normal(0, 4, (3, 7))),
    ("large", [[1000, 999, -1000], [-1000, -1001, -1002]]),
    ("nan", [[1, NAN, 2], [1, 2, 3]]),
    ("infinite", [[INF, 1, -INF], [1, -INF, 2]]),
    ("equal", [[2, 2, 2, 2]]),
    ("empty", np.zeros((0, 3))),
]:
    for activation in ["none", "sigmoid", "softmax"]:
        values32 = np.asarray(values, np.float32)
        cases.append({
            "name": f"scores {kind} {activation}",
            "view": "scores", "activation": activation, "tensors": [tensor(values32)],
            "expected": plain(activated(activation, values32).ravel()),
        })


# Detections.


def overlaps(boxes):
    """The matrix of intersections over unions, in f64; 0 where a box has no area or a coordinate is not finite."""
    b = np.asarray(boxes, np.float64).reshape(-1, 4)
    with np.errstate(all="ignore"):
        sound = np.isfinite(b).all(axis=1) & (b[:, 2] > b[:, 0]) & (b[:, 3] > b[:, 1])
        b = np.where(sound[:, None], b, 0.0)
        area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        low = np.maximum(b[:, None, :2], b[None, :, :2])
        high = np.minimum(b[:, None, 2:], b[None, :, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=2)
        iou = shared / (area[:, None] + area[None, :] - shared)
    return np.where(sound[:, None] & sound[None, :], iou, 0.0)


def chosen(boxes, scores, classes, min_score=0.0, nms=None, class_agnostic=False, candidates=3000, most=None):
    """The indices that stay, in order."""
    scores = np.asarray(scores, np.float32)
    good = [i for i in range(len(scores)) if scores[i] >= np.float32(min_score)]
    if nms is None and most is None:
        return good
    good.sort(key=lambda i: (-float(scores[i]), i))
    if nms is not None:
        good = good[:candidates]
        boxes = np.asarray(boxes)[good]
        above = overlaps(boxes) > float(np.float32(nms))
        if not class_agnostic:
            kinds = np.asarray(classes)[good]
            above &= kinds[:, None] == kinds[None, :]
        alive = np.ones(len(good), bool)
        for place in range(len(good)):
            if alive[place]:
                alive[place + 1:] &= ~above[place, place + 1:]
        good = [i for i, stays in zip(good, alive) if stays]
    return good if most is None else good[:most]


def detections(boxes, scores, classes, kept):
    return [{"box": plain(boxes[i]), "score": plain(scores[i]), "class": plain(int(classes[i]))} for i in kept]


def found(name, boxes, scores, classes, **choice):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores, classes = np.asarray(scores, np.float32), np.asarray(classes, np.float32)
    cases.append({
        "name": f"detections {name}", "view": "detections", "choice": choice,
        "tensors": [tensor(boxes), tensor(scores), tensor(classes)],
        "expected": detections(boxes, scores, classes, chosen(boxes, scores, classes, **choice)),
    })


def crowd(count, size=100, spread=200):
    corner = random.uniform(0, spread, (count, 2))
    return np.concatenate([corner, corner + random.uniform(1, size, (count, 2))], axis=1).astype(np.float32)


boxes, scores, classes = crowd(300), random.uniform(0, 1, 300), random.integers(0, 3, 300)
for nms in [0.0, 0.3, 0.45, 0.9, 1.0]:
    found(f"random {nms}", boxes, scores, classes, min_score=0.25, nms=nms)
found("agnostic", boxes, scores, classes, min_score=0.25, nms=0.45, class_agnostic=True)
found("in the model's order", boxes, scores, classes, min_score=0.5)
found("bounded", boxes, scores, classes, min_score=0.25, most=7)
found("suppressed and bounded", boxes, scores, classes, min_score=0.25, nms=0.45, most=7)
found("few candidates", boxes, scores, classes, nms=0.3, candidates=20)
found("one class twice in one place", [[0, 0, 9, 9]] * 4, [0.5, 0.6, 0.6, 0.4], [1, 1, 1, 2], nms=0.5)
found("threshold met exactly", [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6]], [0.9, 0.8, 0.7], [0, 0, 0], nms=0.5)
found("chain", [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], [0.9, 0.8, 0.7], [0, 0, 0], nms=0.3)
found("equal scores", crowd(50, 80, 50), np.full(50, 0.5), np.zeros(50), nms=0.3)
found("zero and minus zero", [[0, 0, 9, 9], [0, 0, 9, 9]], [-0.0, 0.0], [0, 0], nms=0.5)
found("scores of NaN", crowd(6), [NAN, 0.5, NAN, 0.9, -1, INF], np.zeros(6), nms=0.3)
found("corners of NaN", [[0, 0, NAN, 9], [0, 0, 9, 9], [NAN] * 4, [0, 0, 9, 9]], [0.9, 0.8, 0.7, 0.6], [0] * 4, nms=0.3)
found("infinite corners", [[-INF, -INF, INF, INF], [0, 0, 9, 9], [0, 0, INF, 9]], [0.9, 0.8, 0.7], [0] * 3, nms=0.0)
found("boxes without area", [[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 9, 9], [9, 9, 0, 0], [0, 3, 9, 3]], [0.9, 0.8, 0.7, 0.6, 0.5], [0] * 5, nms=0.0)
found("huge corners", [[0, 0, 3e38, 3e38], [0, 0, 3e38, 3e38]], [0.9, 0.8], [0, 0], nms=0.5)
found("empty", np.zeros((0, 4)), [], [], nms=0.5)
found("all below the threshold", crowd(5), np.full(5, 0.2), np.zeros(5), min_score=0.25, nms=0.5)
found("one box", [[1, 2, 3, 4]], [0.5], [7], min_score=0.5, nms=0.5)
found("thousands", crowd(2500, 60, 600), random.uniform(0, 1, 2500), random.integers(0, 80, 2500), nms=0.45, candidates=1000, most=300)

np.concatenate(inputs).astype("<f4").tofile(HERE / "inputs.f32")
(HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(len(cases), "cases")
