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
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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
    them.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        self.index: Floats = np.tile(
            np.linspace(1e-6, 1e-7, AGES), (CLASSES, 1)
        )  # before the first fit: the newest first
        self.fits = 0
        self._levels = tuple(levels)
        self._factors = [np.zeros(count) for count in levels]  # logarithms
        self._factor_lists: list[list[float]] = [factor.tolist() for factor in self._factors]
        self._edges: list[float] = _SCORE_EDGES.tolist()
        self._classes: dict[tuple[int, ...], int] = {}
        self._forgotten = 0
        self._begun: list[tuple[float, tuple[int, ...], int]] = []  # seconds, properties, blocks
        self._ends: list[float] = []
        self._requests = 0
        self._next_fit = FIRST_FIT
        self._first_of_requests: deque[int] = deque(
            [0]
        )  # the first observation of each that is remembered, and of the next

    def begin(self, seconds: float, properties: tuple[int, ...], blocks: int) -> int:
        """`blocks` blocks with these properties were used at this time. Returns the observation's number, for `end`."""
        self._begun.append((seconds, properties, blocks))
        self._ends.append(math.inf)
        return self._forgotten + len(self._ends) - 1

    def end(self, observation: int, seconds: float) -> None:
        if observation >= self._forgotten:
            self._ends[observation - self._forgotten] = seconds

    def score(self, properties: tuple[int, ...]) -> float:
        """The logarithm of how many times as often as the average such a block comes back; 0 before the first fit."""
        return sum([factor[level] for factor, level in zip(self._factor_lists, properties, strict=True)])

    def class_of(self, properties: tuple[int, ...]) -> int:
        """The row of `index`. It may be another after the next fit."""
        found = self._classes.get(properties)
        if found is None:
            found = self._classes[properties] = bisect_right(self._edges, self.score(properties))
        return found

    def fit_if_due(self, now: float) -> bool:
        """A request has ended at `now`, in seconds: learn from all that was seen if enough is new. Whether it did."""
        self._requests += 1
        self._first_of_requests.append(self._forgotten + len(self._ends))
        if self._requests < self._next_fit or not self._ends:
            return False
        self._next_fit = min(int(self._requests * GROWTH) + 1, self._requests + WINDOW)
        while len(self._first_of_requests) > WINDOW + 1:
            self._first_of_requests.popleft()
        self._forget(self._first_of_requests[0] - self._forgotten)
        self._fit(now)
        self.fits += 1
        return True

    def _forget(self, count: int) -> None:
        if count > 0:
            del self._begun[:count], self._ends[:count]
            self._forgotten += count

    def _fit(self, now: float) -> None:
        begun, of_prompts, sizes = zip(*self._begun, strict=True)
        properties = np.array(of_prompts, np.int64).reshape(len(begun), len(self._levels))
        begins, ends, blocks = np.array(begun), np.array(self._ends), np.array(sizes, np.float64)
        returned = np.isfinite(ends)
        lives = np.where(returned, ends, now) - begins
        ages = np.searchsorted(AGE_EDGES, lives, side="right") - 1
        in_last = np.minimum(lives - AGE_EDGES[ages], _WIDTHS[ages])

        everything = np.zeros(len(ages), np.int64)
        returns, exposures = _by_class_and_age(everything, 1, ages, in_last, returned, blocks)
        base = (returns / np.maximum(exposures, 1e-9))[0]
        so_far = np.concatenate([[0.0], np.cumsum(base * _WIDTHS)])
        expected = blocks * (so_far[ages] + base[ages] * in_last)

        scores = self._fit_factors(properties, blocks * returned, expected)
        classes = np.searchsorted(_SCORE_EDGES, scores, side="right")
        returns, exposures = _by_class_and_age(classes, CLASSES, ages, in_last, returned, blocks)
        weight = PRIOR_RETURNS_OF_CLASS * _WIDTHS
        self.index = best_rates((returns + weight * base * _MIDDLES[:, None]) / (exposures + weight))

    def _fit_factors(self, properties: Ints, returns: Floats, expected: Floats) -> Floats:
        scores = np.zeros(len(returns))
        for number, factor in enumerate(self._factors):
            scores += factor[properties[:, number]]
        for _ in range(ROUNDS):
            for number, count in enumerate(self._levels):
                level = properties[:, number]
                scores -= self._factors[number][level]
                seen = np.bincount(level, returns, count) + PRIOR_RETURNS_OF_LEVEL
                awaited = np.bincount(level, np.exp(scores) * expected, count) + PRIOR_RETURNS_OF_LEVEL
                self._factors[number] = np.log(seen / awaited)
                scores += self._factors[number][level]
        self._factor_lists = [factor.tolist() for factor in self._factors]
        self._classes.clear()
        return scores


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
    best = np.zeros_like(rates)
    for age in range(AGES):
        alive, returns, seconds = np.ones(len(rates)), np.zeros(len(rates)), np.zeros(len(rates))
        for later in range(age, AGES):
            returns += alive * comes[:, later]
            seconds += alive * stays[:, later]
            alive = alive * (1 - comes[:, later])
            best[:, age] = np.maximum(best[:, age], returns / seconds)
    return best
