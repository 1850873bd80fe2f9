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


# Raw heads.


def decoded(head, box_format, x):
    """Boxes as corners, scores and classes of all anchors, by the definition of the head."""
    anchors = np.asarray(x, np.float32)
    anchors = anchors.T if head == "yolov8" else anchors
    box = anchors[:, :4].astype(np.float64)
    if box_format == "cxcywh":
        half = box[:, 2:] / 2
        box = np.concatenate([box[:, :2] - half, box[:, :2] + half], axis=1)
    scores = anchors[:, 4:] if head == "yolov8" else anchors[:, 5:]
    low = np.where(np.isnan(scores), -INF, scores)
    classes = low.argmax(axis=1) if len(low) else np.zeros(0, int)
    best = np.where(np.isnan(scores).all(axis=1), np.float32(NAN), low.max(axis=1, initial=-INF))
    if head == "yolov5":
        best = (anchors[:, 4] * best.astype(np.float32)).astype(np.float32)
    return box, best.astype(np.float32), classes


def anchors(name, head, x, box_format="cxcywh", **choice):
    x = np.asarray(x, np.float32)
    box, scores, classes = decoded(head, box_format, x)
    with np.errstate(all="ignore"):
        kept = chosen(box, scores, classes, **choice)
    cases.append({
        "name": f"{head} {name}", "view": "anchors", "head": head, "box_format": box_format, "choice": choice,
        "tensors": [tensor(x)], "expected": detections(box, scores, classes, kept),
    })


def raw(head, count, classes):
    centre, extent = random.uniform(0, 200, (count, 2)), random.uniform(1, 80, (count, 2))
    rest = random.uniform(0, 1, (count, classes + (head == "yolov5")))
    x = np.concatenate([centre, extent, rest], axis=1).astype(np.float32)
    return x.T.copy() if head == "yolov8" else x


for head in ["yolov8", "yolov5"]:
    anchors("random", head, raw(head, 200, 4), min_score=0.5, nms=0.45)
    anchors("agnostic", head, raw(head, 200, 4), min_score=0.5, nms=0.45, class_agnostic=True)
    anchors("without suppression", head, raw(head, 60, 3), min_score=0.5)
    anchors("corners", head, raw(head, 60, 3), "xyxy", min_score=0.3, nms=0.3)
    anchors("one class", head, raw(head, 60, 1), min_score=0.3, nms=0.3)
    anchors("all below the threshold", head, raw(head, 60, 3), min_score=1.5, nms=0.3)
    anchors("no anchors", head, raw(head, 0, 3), nms=0.3)
    anchors("thousands", head, raw(head, 2100, 3), min_score=0.25, nms=0.6, candidates=500, most=100)
    x = raw(head, 40, 3)
    x = x.T.copy() if head == "yolov8" else x
    offset = 4 if head == "yolov8" else 5
    x[0, offset] = NAN                       # one class is NaN
    x[1, offset:] = NAN                      # all are
    x[2, 4] = NAN                            # the objectness, or the first class
    x[3, 2] = NAN                            # a width
    x[4, 2] = -5                             # a negative width
    x[5, 2:4] = 0                            # no area
    x[6, offset:] = 0.5                      # equal classes
    x[7, offset:] = -INF
    x[8, offset] = INF
    x[9] = x[10]                             # the same box twice
    anchors("awkward", head, x.T.copy() if head == "yolov8" else x, nms=0.45)

# Text by CTC.


def spoken(name, x, labels, blank=0, space=None, activation="softmax"):
    x = np.asarray(x, np.float32)
    if np.isnan(x).any():
        expected = {"text": None, "log_probability": None}
    else:
        path = [max(range(len(labels)), key=lambda c: (step[c], -c)) for step in x]
        merged = [c for place, c in enumerate(path) if place == 0 or c != path[place - 1]]
        text = "".join(" " if labels[c] == space else labels[c] for c in merged if c != blank).strip()
        probability = activated("softmax", x) if activation == "softmax" else x.astype(np.float64)
        with np.errstate(all="ignore"):
            logs = [np.log(probability[place, c]) for place, c in enumerate(path)]
        expected = {"text": text, "log_probability": plain(np.mean(logs)) if logs else None}
    cases.append({
        "name": f"ctc {name}", "view": "ctc", "labels": labels, "blank": blank, "space": space,
        "activation": activation, "tensors": [tensor(x)], "expected": expected,
    })


LETTERS = ["<pad>", "|", "a", "b", "ch", "ö"]
steps = random.normal(0, 3, (60, 6))
spoken("random", steps, LETTERS)
spoken("with spaces", steps, LETTERS, space="|")
spoken("blank at the end", steps, LETTERS, blank=5, space="|")
spoken("logarithms", np.log(activated("softmax", steps)), LETTERS, space="|")
spoken("probabilities", activated("softmax", steps), LETTERS, space="|", activation="none")
spoken("repeats", np.eye(6)[[2, 2, 0, 2, 3, 3, 0, 0, 4, 5, 5]] * 9, LETTERS)
spoken("spaces at both ends", np.eye(6)[[1, 0, 1, 2, 1, 3, 1, 0]] * 9, LETTERS, space="|")
spoken("only blanks", np.eye(6)[[0, 0, 0]] * 9, LETTERS)
spoken("no steps", np.zeros((0, 6)), LETTERS)
spoken("one step", [[0, 0, 1, 0, 0, 0]], LETTERS)
spoken("equal classes", np.ones((4, 6)), LETTERS, blank=5)
spoken("nan", [[0, 0, 1, 0, 0, 0], [0, NAN, 1, 0, 0, 0]], LETTERS)
spoken("infinite", [[-INF, -INF, 1, -INF, -INF, -INF], [0, 0, 0, 900, 0, 0]], LETTERS)
spoken("nothing likely", np.full((2, 6), -INF), LETTERS)

np.concatenate(inputs).astype("<f4").tofile(HERE / "inputs.f32")
(HERE / "cases.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
print(len(cases), "cases")
