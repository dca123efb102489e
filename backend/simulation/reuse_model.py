"""When a block will be used again, learnt from what has been seen so far.

An *observation* begins when a block is used and ends when it is used the next time. Those that have not ended say that
it takes longer than until now. Their common rate of return by age, in bins that widen with it, is the base; each
property of the prompt (which turn, how long an answer, …) multiplies it by a factor. The factors are those of a
Poisson regression, found by matching, property by property, the returns that were seen with those expected
(proportional hazards with a piecewise constant base, fitted as in Laird and Olivier, "Covariance analysis of censored
survival data using log-linear analysis techniques", JASA 1981). Observations with about the same product of factors
are a class, and each class gets its own rates by age, which fall back on the product where little was seen.

What a place in the cache is worth to a block is then an index: the most returns per second, over all times that one
might keep it from now on (Gittins, "Bandit processes and dynamic allocation indices", 1979). A session whose next turn
usually takes a minute is worth keeping for that minute, and little after.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backend.simulation.next_uses import next_uses

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AGE_EDGES: Floats = np.concatenate([[0.0], np.geomspace(8.0, 4096.0, 19)])  # seconds; the last bin is open
AGES = len(AGE_EDGES)
_WIDTHS = np.append(np.diff(AGE_EDGES), AGE_EDGES[-1])
_SCORE_EDGES = np.linspace(-3.5, 3.5, 15) * math.log(2)
CLASSES = len(_SCORE_EDGES) + 1
_MIDDLES = np.exp((np.append(_SCORE_EDGES, 3.75 * math.log(2)) + np.append(-3.75 * math.log(2), _SCORE_EDGES)) / 2)

WINDOW = 6000  # requests that are learnt from; older ones are forgotten
FIRST_FIT = 60  # requests
GROWTH = 1.1  # how many times the requests of the last fit there must be for the next
PRIOR_RETURNS_OF_CLASS = 30.0  # weight of the product of factors beside a class's own rates, in blocks seen
PRIOR_RETURNS_OF_LEVEL = 20.0  # weight of "no influence" beside the returns of a level, in blocks
ROUNDS = 6


class ReuseModel:
    """`levels[p]` is how many values property `p` has; an observation's properties are as many whole numbers below
    them. All of them together are its *kind*, one number: that of `np.ravel_multi_index(properties, levels)`. Run
    `r` is of `run_lengths[r]` blocks.

    `scores[kind]` is the logarithm of how many times as often as the average such blocks come back, and
    `index[classes[kind]]` what a place is worth to them by age, in returns per second. A fit changes them.
    """

    def __init__(self, levels: Sequence[int], run_lengths: Ints) -> None:
        self.index: Floats = np.tile(
            np.linspace(1e-6, 1e-7, AGES), (CLASSES, 1)
        )  # before the first fit: the newest first
        self.fits = 0
        telling = [number for number, count in enumerate(levels) if count > 1]  # a property of one value says nothing
        self._levels = [levels[number] for number in telling]
        self._of_kinds: Ints = np.indices(levels).reshape(len(levels), -1)[telling]
        self._factors = [np.zeros(count) for count in self._levels]  # logarithms
        self._run_lengths = run_lengths
        # What is remembered: an entry of each request, and one of each observation in the order of requests.
        self._seconds, self._counts = array("d"), array("q")
        self._runs, self._kinds = array("q"), array("q")
        self._requests = 0
        self._next_fit = FIRST_FIT
        self._classify()

    def observe(self, seconds: float, runs: list[int], kinds: list[int]) -> None:
        """A request used blocks of these runs, which are of these kinds from now on."""
        self._requests += 1
        self._seconds.append(seconds)
        self._counts.append(len(runs))
        self._runs.fromlist(runs)
        self._kinds.fromlist(kinds)

    def fit_if_due(self, now: float) -> bool:
        """Learn from all that was seen up to `now`, in seconds, if enough requests are new. Whether it did."""
        if self._requests < self._next_fit or not self._runs:
            return False
        self._next_fit = min(int(self._requests * GROWTH) + 1, self._requests + WINDOW)
        self._forget(len(self._seconds) - WINDOW)
        self._fit(now)
        self.fits += 1
        return True

    def _forget(self, requests: int) -> None:
        if requests > 0:
            observations = sum(self._counts[:requests])
            del self._seconds[:requests], self._counts[:requests]
            del self._runs[:observations], self._kinds[:observations]

    def _fit(self, now: float) -> None:
        runs = np.array(self._runs)
        begins = np.repeat(self._seconds, self._counts)
        ends, blocks = next_uses(runs, begins, math.inf), self._run_lengths[runs].astype(np.float64)
        returned = np.isfinite(ends)
        lives = np.where(returned, ends, now) - begins
        ages = np.searchsorted(AGE_EDGES, lives, side="right") - 1
        in_last = np.minimum(lives - AGE_EDGES[ages], _WIDTHS[ages])

        everything = np.zeros(len(ages), np.int64)
        returns, exposures = _by_class_and_age(everything, 1, ages, in_last, returned, blocks)
        base = (returns / np.maximum(exposures, 1e-9))[0]
        so_far = np.concatenate([[0.0], np.cumsum(base * _WIDTHS)])
        expected = blocks * (so_far[ages] + base[ages] * in_last)

        scores = self._fit_factors(self._of_kinds[:, np.array(self._kinds)], blocks * returned, expected)
        self._classify()
        returns, exposures = _by_class_and_age(_classes(scores), CLASSES, ages, in_last, returned, blocks)
        weight = PRIOR_RETURNS_OF_CLASS * _WIDTHS
        self.index = best_rates((returns + weight * base * _MIDDLES[:, None]) / (exposures + weight))

    def _classify(self) -> None:
        self.scores = self._scores_of(self._of_kinds)
        self.classes: list[int] = _classes(self.scores).tolist()

    def _fit_factors(self, properties: Ints, returns: Floats, expected: Floats) -> Floats:
        scores = self._scores_of(properties)
        seen = [
            np.bincount(level, returns, count) + PRIOR_RETURNS_OF_LEVEL
            for level, count in zip(properties, self._levels, strict=True)
        ]
        for _ in range(ROUNDS):
            for number, level in enumerate(properties):
                scores -= self._factors[number][level]
                awaited = np.bincount(level, np.exp(scores) * expected, self._levels[number]) + PRIOR_RETURNS_OF_LEVEL
                self._factors[number] = np.log(seen[number] / awaited)
                scores += self._factors[number][level]
        return scores

    def _scores_of(self, properties: Ints) -> Floats:
        """`properties` of n observations or kinds, of shape (properties, n)."""
        scores = np.zeros(properties.shape[1])
        for factor, level in zip(self._factors, properties, strict=True):
            scores += factor[level]
        return scores


def _classes(scores: Floats) -> Ints:
    return np.searchsorted(_SCORE_EDGES, scores, side="right")


def _by_class_and_age(
    classes: Ints, count: int, ages: Ints, in_last: Floats, returned: npt.NDArray[np.bool_], blocks: Floats
) -> tuple[Floats, Floats]:
    """Returns, in blocks, and the time under observation, in block seconds; each of shape (`count`, `AGES`)."""
    cells = classes * AGES + ages
    size = count * AGES
    returns: Floats = np.bincount(cells[returned], blocks[returned], size).reshape(count, AGES).astype(np.float64)
    ended: Floats = np.bincount(cells, blocks, size).reshape(count, AGES).astype(np.float64)
    outlived = np.cumsum(ended[:, ::-1], axis=1)[:, ::-1] - ended
    exposures: Floats = outlived * _WIDTHS + np.bincount(cells, blocks * in_last, size).reshape(count, AGES)
    return returns, exposures


def best_rates(rates: Floats) -> Floats:
    """For rates of return per second of shape (classes, `AGES`): the most returns per second from each age on, in the
    same shape.
    """
    comes = 1 - np.exp(-rates * _WIDTHS)
    stays = np.where(rates > 1e-12, comes / np.maximum(rates, 1e-12), _WIDTHS)  # expected seconds in the bin
    best, alive = np.zeros_like(rates), np.ones_like(rates)
    returns, seconds = np.zeros_like(rates), np.zeros_like(rates)
    for age in range(AGES):
        # For each class and each age up to this one: what is kept from then on until this age has passed.
        kept, here = np.s_[:, : age + 1], np.s_[:, age : age + 1]
        returns[kept] += alive[kept] * comes[here]
        seconds[kept] += alive[kept] * stays[here]
        alive[kept] *= 1 - comes[here]
        best[kept] = np.maximum(best[kept], returns[kept] / seconds[kept])
    return best
