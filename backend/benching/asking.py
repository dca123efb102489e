"""One measured request, and whether it was served from where it should have been, by the engine's own count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backend.benching.target import SESSION, SlowTier, Target
from backend.errors import MeasurementFailed
from backend.polling import until
from backend.profiling.measure import learn_kv_bytes
from backend.profiling.raw import drop_page_caches
from backend.tiers.use_case import UseCase

COLD = "cold"
ENGINE = "engine"
RAM = "ram"

_COUNTED_SECONDS = 5.0
_STORED_SECONDS = 120.0


@dataclass(frozen=True)
class Answer:
    """Seconds to the first token; tokens of the prompt that the engine had itself, and that it was handed."""

    seconds: float
    own_tokens: int
    handed_tokens: int

    @property
    def cached_tokens(self) -> int:
        return self.own_tokens + self.handed_tokens


class Asker:
    """Asks a target. Every method raises `MeasurementFailed`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._pair = target.pair
        self._sessions: set[str] = set()

    def ask(self, prompt: Sequence[int]) -> Answer:
        before = self._pair.prefix_counts()
        first = self._pair.first_token(prompt)
        counts = until(  # the counters follow the answer
            lambda: self._pair.prefix_counts().since(before),
            lambda counts: counts.prompts >= len(prompt),
            seconds=_COUNTED_SECONDS,
        )
        if counts.prompts < len(prompt):
            raise MeasurementFailed("counters of the engine", "its /metrics do not count the prompt; is it a vLLM?")
        if counts.prompts > len(prompt):
            raise MeasurementFailed("counters of the engine", "somebody else asks; nothing else may use it meanwhile")
        return Answer(first.seconds, int(counts.own_hits), int(counts.other_hits))

    def ask_from(self, place: str, prompt: Sequence[int]) -> float:
        """Ask, and see that all whole chunks came from `place`: seconds to the first token."""
        tokens = self.target.whole(len(prompt))
        mark = self._mark()
        answer = self.ask(prompt)
        _check(place, answer, tokens)
        if place not in (COLD, ENGINE) and self.target.has_policies:
            self._check_fetched(place, tokens, mark)
        return answer.seconds

    # --- making a prompt's KV be in one place alone

    def note(self, prompt: Sequence[int], use_case: UseCase | None = None, session: str = SESSION) -> None:
        if self.target.has_policies:
            self._sessions.add(session)
            self._pair.note(prompt, session=session, use_case=use_case)

    def learn_kv_bytes(self) -> None:
        """With a first prompt. The size of a token's KV says when a tier has all of a prompt."""
        if self.target.has_policies and not self.target.kv_bytes_per_token:
            tokens = 2 * self.target.chunk_tokens
            disks = [tier.name for tier in self.target.tiers if tier.role == "disk"]
            prompt = self.target.prompts.beyond(tokens)
            self.target.kv_bytes_per_token = learn_kv_bytes(self._pair, prompt, tokens, disks)

    def empty_engine(self) -> None:
        """Returns once LMCache has all that the engine computed: vLLM refuses to empty a cache that is being read."""
        self._pair.empty_engine()

    def leave_only(self, tier: SlowTier) -> None:
        """Empty the engine and LMCache's memory; the next read of a file comes from the medium."""
        self._pair.empty_engine()
        self._pair.empty_ram()
        if tier.folder is not None:
            drop_page_caches(tier.folder)

    def await_stored(self, tier: SlowTier, tokens: int, mark: StoreMark) -> None:
        """Until `tier` has `tokens` more tokens than at `mark`."""
        if self.target.has_policies:
            size = tokens * self.target.kv_bytes_per_token
            stored = sum(one["size_bytes"] for one in self._pair.await_stored(tier.name, size, mark.transfer))
            if stored < size:
                raise MeasurementFailed(tier.name, f"{stored} of {size} bytes were written; has it room (--disk-gb)?")
            return
        wanted = tokens // self.target.chunk_tokens
        if not until(lambda: len(_files(tier.folder) - mark.files) >= wanted, seconds=_STORED_SECONDS):
            raise MeasurementFailed(tier.name, f"fewer than {wanted} files were written to {tier.folder}")

    def store_mark(self) -> StoreMark:
        files = set().union(*(_files(tier.folder) for tier in self.target.tiers))
        return StoreMark(self._mark(), frozenset(files))

    def forget_session(self, session: str = SESSION) -> None:
        """Delete what was stored of a session's longest prompt. Without Kvasir's policies, nothing."""
        if self.target.has_policies:
            self._pair.forget_session(session)
            self._sessions.discard(session)

    def forget_all(self, mark: StoreMark) -> None:
        """Delete what was stored since `mark` of the prompts that were noted."""
        for session in sorted(self._sessions):
            self.forget_session(session)
        self.forget_files(mark)

    def forget_files(self, mark: StoreMark) -> None:
        """Without Kvasir's policies, delete all files that came since `mark`."""
        for tier in () if self.target.has_policies else self.target.tiers:
            for path in _files(tier.folder) - mark.files:
                path.unlink(missing_ok=True)

    def _mark(self) -> int:
        return self._pair.last_transfer() if self.target.has_policies else 0

    def _check_fetched(self, place: str, tokens: int, mark: int) -> None:
        """LMCache's events say from which tier it was."""
        size = tokens * self.target.kv_bytes_per_token
        if place != RAM:
            fetched = sum(one["size_bytes"] for one in self._pair.await_fetched(place, size, mark))
            if fetched < size:
                raise MeasurementFailed(place, f"LMCache fetched {fetched} of {size} bytes from there")
        elif any(one["kind"] == "fetch" for one in self._pair.transfers(mark)):
            raise MeasurementFailed(place, "LMCache had to fetch a part of it; give it more memory (--l1-size-gb)")


@contextmanager
def asking(target: Target) -> Iterator[Asker]:
    """An asker of whose prompts nothing stays stored, also where a measurement failed or was ended."""
    asker = Asker(target)
    mark = asker.store_mark()
    try:
        yield asker
    finally:
        with suppress(MeasurementFailed):
            asker.forget_all(mark)


@dataclass(frozen=True)
class StoreMark:
    """What was stored at a moment."""

    transfer: int
    files: frozenset[Path]


def _check(place: str, answer: Answer, tokens: int) -> None:
    own, handed = answer.own_tokens, answer.handed_tokens
    right = {COLD: own == handed == 0, ENGINE: own >= tokens and handed == 0}.get(place, own == 0 and handed >= tokens)
    if not right:
        raise MeasurementFailed(
            place,
            f"of {tokens} tokens vLLM had {own} itself and was handed {handed}; "
            "see that nothing else uses it, and that its cache and LMCache's memory hold the longest prompt",
        )


def _files(folder: Path | None) -> set[Path]:
    return set(folder.glob("*.data")) if folder else set()
