"""Puts embeddings of voices into groups, one a person. Pure: the same points always give the same groups.

K-means with many restarts. With few of them it ends in a wrong split of a short call (12 restarts: 37 % of the time
at the wrong person on a 30 s call; 200: 2 to 4 %), and they are cheap where all run side by side on few dimensions.
"""

from __future__ import annotations

from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.intp]

RESTARTS: Final = 200
DIMENSIONS: Final = 24
"""The embeddings' main directions, in which they are grouped."""
STEPS: Final = 12
MOST_POINTS: Final = 300
"""More points are averaged, neighbours in time with each other, before the restarts; then all are used."""
SURE_S: Final = 12.0
"""From this much speech on, one voice can be told from two ..."""
ALIKE: Final = 0.87
"""... groups whose means are closer than this (cosine) are one voice; measured: one voice cut in two has 0.86 to 0.97,
two voices 0.48 to 0.84, on the telephone too."""
ALIKE_EARLY: Final = 0.78
"""Before that means are noisy: one voice has 0.74 to 0.91."""


def group(points: Floats, weights: Floats, most: int) -> Numbers:
    """Return a group's number for each point: at most `most` groups, less where some sound like one voice.

    `points`: unit vectors, shape (n, d), in the order of time. `weights`: seconds of speech that each stands for.
    """
    if len(points) <= most:
        return np.zeros(len(points), np.intp)
    pooled, mass = _pooled(points, weights)
    count = min(most, len(pooled))
    groups = _nearest(points, _centres(points, weights, pooled, mass, count))
    return _merge_alike(points, weights, groups)


def centres_of(points: Floats, weights: Floats, groups: Numbers, count: int) -> Floats:
    """Return the direction of each group's mean, shape (count, d); zeros for a group without points."""
    sums = np.stack([(points * (weights * (groups == number))[:, None]).sum(axis=0) for number in range(count)])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centres: Floats = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    return centres


def keep_numbers(groups: Numbers, earlier: Numbers, weights: Floats) -> Numbers:
    """Return the groups renumbered so that as much speech as possible keeps its number.

    `earlier`: the numbers from before, -1 for what is new. A group of which nothing was known gets the next number.
    """
    found = [int(number) for number in np.unique(groups)]
    known = sorted({int(number) for number in earlier if number >= 0})
    spare = [number for number in range(len(found) + len(known)) if number not in known]
    candidates = known + spare[: len(found)]
    shared = {
        (number, old): float(weights[(groups == number) & (earlier == old)].sum()) for number in found for old in known
    }
    best = max(
        permutations(candidates, len(found)),
        key=lambda chosen: (
            sum(shared.get(pair, 0.0) for pair in zip(found, chosen, strict=True)),
            [-number for number in chosen],
        ),
    )
    renumbered = np.empty_like(groups)
    for number, chosen in zip(found, best, strict=True):
        renumbered[groups == number] = chosen
    return renumbered


def _pooled(points: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return at most about `MOST_POINTS` points: means of neighbours, and their weights."""
    size = -(-len(points) // MOST_POINTS)
    if size == 1:
        return points, weights
    starts = np.arange(0, len(points), size)
    mass = np.add.reduceat(weights, starts)
    means = np.add.reduceat(points * weights[:, None], starts, axis=0) / mass[:, None]
    return means.astype(np.float32), mass.astype(np.float32)


def _centres(points: Floats, weights: Floats, pooled: Floats, mass: Floats, count: int) -> Floats:
    middle = np.average(pooled, axis=0, weights=mass)
    _, _, directions = np.linalg.svd((pooled - middle) * np.sqrt(mass)[:, None], full_matrices=False)
    axes = directions[:DIMENSIONS].T
    groups = _restarts((pooled - middle) @ axes, mass, count)
    centres = _means(pooled, mass, groups, count)
    for _ in range(STEPS):
        moved = _means(points, weights, _nearest(points, centres), count)
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres


def _restarts(points: Floats, weights: Floats, count: int) -> Numbers:
    """Return the grouping with the least squared distance that any of the restarts comes to.

    Stacked products, one a restart: each is small enough for the library to stay on one thread.
    """
    chance = np.random.default_rng(len(points))  # the same points: the same numbers
    shares = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    picks = np.stack([chance.choice(len(points), count, replace=False, p=shares) for _ in range(RESTARTS)])
    centres = points[picks]
    across = np.ascontiguousarray(points.T)
    members = np.empty((RESTARTS, count, len(points)), np.float32)
    for _ in range(STEPS):
        members[:] = _is_nearest(centres, across) * weights
        mass = members.sum(axis=2, keepdims=True)
        moved = np.where(mass > 0, (members @ points) / np.maximum(mass, 1e-9), centres)
        if np.allclose(moved, centres, atol=1e-4):
            break
        centres = moved
    distances = _distances(centres, across)
    cost = (distances.min(axis=1) * weights).sum(axis=1)
    groups: Numbers = distances[int(cost.argmin())].argmin(axis=0)
    return groups


def _distances(centres: Floats, across: Floats) -> Floats:
    """Return the squared distances, less what is the same for all centres."""
    distances: Floats = (centres**2).sum(axis=2)[:, :, None] - 2 * (centres @ across) + (across**2).sum(axis=0)
    return distances


def _is_nearest(centres: Floats, across: Floats) -> NDArray[np.bool_]:
    nearest = _distances(centres, across).argmin(axis=1)
    numbers = np.arange(centres.shape[1])
    chosen: NDArray[np.bool_] = np.equal(nearest[:, None, :], numbers[None, :, None])
    return chosen


def _means(points: Floats, weights: Floats, groups: Numbers, count: int) -> Floats:
    """Return the mean of each group; a group that has lost all its points starts anew at the whole's mean."""
    whole = np.average(points, axis=0, weights=weights)
    return np.stack(
        [
            np.average(points[groups == number], axis=0, weights=weights[groups == number])
            if (groups == number).any()
            else whole
            for number in range(count)
        ]
    ).astype(np.float32)


def _nearest(points: Floats, centres: Floats) -> Numbers:
    nearest: Numbers = ((centres**2).sum(axis=1) - 2 * points @ centres.T).argmin(axis=1)
    return nearest


def _merge_alike(points: Floats, weights: Floats, groups: Numbers) -> Numbers:
    """Make one of the two closest groups, again and again, until no two sound like one voice."""
    limit = ALIKE if float(weights.sum()) >= SURE_S else ALIKE_EARLY
    groups = np.unique(groups, return_inverse=True)[1]
    while (count := int(groups.max()) + 1) > 1:
        centres = centres_of(points, weights, groups, count)
        likeness = np.triu(centres @ centres.T, 1)
        first, second = np.unravel_index(int(likeness.argmax()), likeness.shape)
        if likeness[first, second] <= limit:
            break
        groups = np.where(groups == second, first, groups)
        groups = np.unique(groups, return_inverse=True)[1]
    return groups
