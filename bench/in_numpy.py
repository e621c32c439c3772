"""The same work in numpy, timed on request: a line "name count size" is answered by CPU seconds.

`aggregate` and `in_place` are what Flower does (flwr.server.strategy.aggregate).
"""
import sys
import time
from functools import reduce

import numpy as np

rows = []


def held(count, size):
    """`count` rows of `size` random floats; those of the last request again where they fit."""
    global rows
    if len(rows) != count or rows[0].size != size:
        rows = []
        generator = np.random.default_rng(1)
        rows = list(generator.standard_normal((count, size), dtype=np.float32) / 8)
    return rows


def weights(x):
    return [1 + k % 100 for k in range(len(x))]


def aggregate(x):
    total = sum(weights(x))
    weighted = [row * n for row, n in zip(x, weights(x))]
    return reduce(np.add, weighted) / total


def in_place(x):
    factors = np.asarray(weights(x)) / sum(weights(x))
    result = x[0] * np.float32(factors[0])
    for row, factor in zip(x[1:], factors[1:]):
        result += row * np.float32(factor)
    return result


def check(x):
    return [(np.isfinite(row).all(), np.linalg.norm(row), np.abs(row).max()) for row in x]


def stacked(x):
    return x[0].base if x[0].base is not None else np.stack(x)


def gram(x):
    matrix = stacked(x)
    return matrix @ matrix.T


def trimmed(x):
    low = len(x) // 5
    high = len(x) - low
    part = np.partition(stacked(x), (low, high - 1), axis=0)
    return part[low:high].mean(axis=0)


def combine(x):
    result = np.zeros(x[0].size)
    for row, n in zip(x, weights(x)):
        result += row * float(n)
    return result


work = {
    "aggregate": aggregate,
    "in-place": in_place,
    "check": check,
    "gram": gram,
    "median": lambda x: np.median(stacked(x), axis=0),
    "trimmed": trimmed,
    "combine": combine,
}

print("ready", flush=True)
for line in sys.stdin:
    name, count, size = line.split()
    x = held(int(count), int(size))
    before = time.process_time()
    work[name](x)
    print(time.process_time() - before, flush=True)
