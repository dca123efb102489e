"""Kvasir's policy: keep the blocks that will bring most hits for the place they take, as far as the past tells.

`reuse_model.py` says what a place is worth to a block by its properties and by the time since its last use. What is
worth least goes first, the newly come included, so that admission and eviction are one rule. Parents stay as long as
one of their children does, and a prompt goes from its end. Everything is learnt from the requests seen so far; a live
policy has the same: hashes in order, times and lengths.

What is remembered of a block (how often and when it was used) is kept for blocks that are not cached, too; here
without limit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import prod

from backend.simulation.optimum import cached_until
from backend.simulation.policy import Policy
from backend.simulation.reuse_model import AGE_EDGES, AGES, CLASSES, ReuseModel
from backend.simulation.trace import Request, Trace

IDEAS = ("whole", "gaps", "frequency", "turn", "new", "answer")
"""What each brings is told in docs/simulation.md.

whole: the short last block of a prompt is never kept, as no longer prompt has it
gaps: the worth of a block changes with the time since its last use; without, it is that of a block just used
frequency, turn, new, answer: properties that the model learns from: how often the block was used; how many turns its
conversation has had; how many blocks of the prompt were new; how long the answer was
"""

_FREQUENCIES = (2, 3, 4, 5, 6, 10, 30)
_TURNS = (1, 2, 3, 4, 5, 6)
_NEW_BLOCKS = (1, 2, 3, 4, 6, 9, 13, 19, 28, 45, 80)
_ANSWER_TOKENS = (2, 5, 10, 20, 40, 70, 100, 200, 300, 450, 700)
_PROPERTIES = {"frequency": _FREQUENCIES, "turn": _TURNS, "new": _NEW_BLOCKS, "answer": _ANSWER_TOKENS}
TICK_SECONDS = 4.0  # how often blocks move on to the next bin of age, half of the narrowest


class KvasirPolicy(Policy):
    def __init__(
        self, capacity_blocks: int, trace: Trace, ideas: frozenset[str] = frozenset(IDEAS), margin: float = 0.0
    ) -> None:
        """Of `trace` only the lengths of runs are read: see `trace.py`. All but `ideas` is left out.

        A block is written to a full tier only if it is worth `margin` times as much as the one that would have to go
        first; with 0, each is.
        """
        super().__init__(capacity_blocks)
        self._ideas = ideas
        # A property that is left out has no edges, so one level, and the model learns nothing from it.
        edges = [_PROPERTIES[name] if name in ideas else () for name in _PROPERTIES]
        self._frequencies, self._turns, self._new_blocks, self._answer_tokens = edges
        self._levels = [len(of_property) + 1 for of_property in edges]
        self._kinds_of_prompts = prod(self._levels[1:])  # the kinds of one frequency
        self._model = ReuseModel(self._levels, trace.run_lengths)
        self._lengths: list[int] = trace.run_lengths.tolist()
        self._depths: list[int] = trace.run_depths.tolist()
        runs = len(self._lengths)
        self._never_kept: list[bool] = (~trace.run_whole).tolist() if "whole" in ideas else [False] * runs
        self._cached = [0] * runs  # blocks of a run, which are always its first
        self._parents = [-1] * runs
        self._children = [0] * runs  # runs that follow it and are cached
        self._frequency = [0] * runs  # also tells outdated places in a queue
        self._turn = [0] * runs
        self._class = [0] * runs
        self._last_use = [0.0] * runs
        self._size = 0
        self._margin = margin
        self._queues = _Queues(self._frequency, self._last_use)
        self._rank()

    def cached_until(self, request: Request, start: int) -> int:
        return cached_until(request, start, self._depths, self._lengths, self._cached)

    def store(self, request: Request, until: int) -> int:
        runs = request.runs
        if runs and self._never_kept[runs[-1]]:
            runs = runs[:-1]
        self._observe(request, runs)
        self._queues.grow_older(request.seconds)
        grown = self._take(runs, until)
        if self._model.fit_if_due(request.seconds):
            self._rank()
        self._evict(request.seconds)
        return sum([max(0, self._cached[run] - before) for run, before in grown])

    def _take(self, runs: list[int], until: int) -> list[tuple[int, int]]:
        """Cache the first `until` blocks as far as they are worth it, and queue the leaves.

        Returns the runs that grew, with their blocks before.
        """
        cached, children, grown = self._cached, self._children, []
        parent = -1
        for run in runs:
            before = cached[run]
            if before < self._lengths[run]:
                wanted = min(self._lengths[run], until - self._depths[run])
                if wanted <= before:
                    break
                if self._margin and self._size + wanted - before > self.capacity_blocks:
                    least = self._queues.least()
                    price = 0.0 if least is None else self._worth_by_rank[least]
                    if self._worth[self._class[run]][0] < self._margin * price:
                        break
                grown.append((run, before))
                cached[run] = wanted
                self._size += wanted - before
                if not before and parent >= 0:
                    self._parents[run] = parent
                    children[parent] += 1
            parent = run
        for run in runs:
            if cached[run] and not children[run]:
                self._queues.append(self._class[run], 0, (run, self._frequency[run]))
        return grown

    def _observe(self, request: Request, runs: list[int]) -> None:
        """What the model learns of a request, and the class of each of its blocks."""
        frequency, lengths, now = self._frequency, self._lengths, request.seconds
        known = [run for run in runs if frequency[run]]
        # The first run alone is what all prompts have in common.
        turn = self._turn[known[-1]] + 1 if len(known) > 1 else 0
        new_blocks = sum([lengths[run] for run in runs[len(known) :]])
        of_prompt = self._kind_of_prompt(turn, new_blocks, request.output_tokens)
        frequencies, kinds_of_prompts, class_of = self._frequencies, self._kinds_of_prompts, self._model.classes
        classes, turns, last_use = self._class, self._turn, self._last_use
        kinds = []
        for run in runs:
            uses = frequency[run] = frequency[run] + 1
            kind = bisect_right(frequencies, uses) * kinds_of_prompts + of_prompt
            kinds.append(kind)
            classes[run] = class_of[kind]
            turns[run] = turn
            last_use[run] = now
        self._model.observe(now, runs, kinds)

    def _kind_of_prompt(self, turn: int, new_blocks: int, answer_tokens: int) -> int:
        """The model's kind of a block of this prompt that is used for the first time, so of frequency level 0."""
        _, _, new_levels, answer_levels = self._levels
        kind = bisect_right(self._turns, turn)
        kind = kind * new_levels + bisect_right(self._new_blocks, new_blocks)
        return kind * answer_levels + bisect_right(self._answer_tokens, answer_tokens)

    def _rank(self) -> None:
        index = self._model.index if "gaps" in self._ideas else self._model.index[:, :1].repeat(AGES, axis=1)
        worth = self._worth = index.tolist()
        order = sorted((worth[c][age], -age, c) for c in range(CLASSES) for age in range(AGES))
        self._queues.rank([(c, -age) for _, age, c in order])
        self._worth_by_rank = [value for value, _, _ in order]

    def _evict(self, now: float) -> None:
        cached, queues = self._cached, self._queues
        while self._size > self.capacity_blocks:
            least = queues.least()
            assert least is not None, "every cached run is queued, or has a child that is"
            queue = queues.order[least]
            run, _ = queue[0]
            gone = min(cached[run], self._size - self.capacity_blocks)
            cached[run] -= gone
            self._size -= gone
            if cached[run]:
                continue
            queue.popleft()
            parent = self._parents[run]
            if parent >= 0:
                self._children[parent] -= 1
                if not self._children[parent]:
                    age = bisect_right(queues.edges, now - self._last_use[parent]) - 1
                    queues.append_first(self._class[parent], age, (parent, self._frequency[parent]))

    @property
    def size_blocks(self) -> int:
        return self._size


Place = tuple[int, int]  # a run, and how often it had been used when it was put here


class _Queues:
    """Runs without cached children, in a queue for each class and age, the longest unused first. `rank` says in which
    `order` queues are emptied.

    A place is outdated once its run was used again: `uses` and `last_use` are the policy's, of each run.
    """

    def __init__(self, uses: list[int], last_use: list[float]) -> None:
        self._uses, self._last_use = uses, last_use
        self.edges: list[float] = AGE_EDGES.tolist()
        self._queues: list[list[deque[Place]]] = [[deque() for _ in range(AGES)] for _ in range(CLASSES)]
        # From a queue to the one of the next age; the youngest first, so that long silence takes several at once.
        self._steps = [
            (queues[age - 1], queues[age], of_class, age)
            for of_class, queues in enumerate(self._queues)
            for age in range(1, AGES)
        ]
        self.order: list[deque[Place]] = []
        self._ranks: list[list[int]] = [[0] * AGES for _ in range(CLASSES)]
        self._least = 0  # no queue before this rank holds anything
        self._grown = 0.0

    def rank(self, order: list[tuple[int, int]]) -> None:
        self.order = [self._queues[c][age] for c, age in order]
        for rank, (c, age) in enumerate(order):
            self._ranks[c][age] = rank
        self._least = 0

    def append(self, of_class: int, age: int, place: Place) -> None:
        self._queues[of_class][age].append(place)
        self._least = min(self._least, self._ranks[of_class][age])

    def append_first(self, of_class: int, age: int, place: Place) -> None:
        self._queues[of_class][age].appendleft(place)
        self._least = min(self._least, self._ranks[of_class][age])

    def least(self) -> int | None:
        """The rank of the first queue that holds anything, with a place that counts in front."""
        order, uses = self.order, self._uses
        for rank in range(self._least, len(order)):
            queue = order[rank]
            while queue:
                run, used = queue[0]
                if used == uses[run]:
                    self._least = rank
                    return rank
                queue.popleft()
        return None

    def grow_older(self, now: float) -> None:
        """Move on what has reached the next age."""
        if now < self._grown + TICK_SECONDS:
            return
        self._grown = now
        uses, last_use = self._uses, self._last_use
        for queue, older, of_class, age in self._steps:
            if not queue:
                continue
            newest, moved = now - self.edges[age], False
            while queue:
                run, used = place = queue[0]
                if used == uses[run]:  # or it is outdated
                    if last_use[run] > newest:
                        break
                    older.append(place)
                    moved = True
                queue.popleft()
            if moved:
                self._least = min(self._least, self._ranks[of_class][age])
