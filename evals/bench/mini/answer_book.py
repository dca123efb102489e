"""The answers of one model: those of an answers file first, the others made here and added to it.

So a long run goes on where it was cut off, and the answers may come from another machine (`backend.mini.answer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from backend.mini.answer import Answerer, Answers, answer_lines
from backend.mini.answer_file import Answered, Decoding, Prompt, append_answers, model_digest, read_answers
from evals.bench.errors import AnswersUnavailable, ModelUnavailable

_GRAMMAR_LIBRARY = "llguidance"


class AnswerBook:
    """Answers of the model in `folder`. Raises `ModelUnavailable` where there is none."""

    def __init__(self, folder: Path, *, device: str, batch: int, file: Path | None, say: Callable[[str], None]) -> None:
        try:
            self.model = model_digest(folder)
        except OSError as exc:
            raise ModelUnavailable(folder, str(exc)) from exc
        self._folder, self._device, self._batch, self._file, self._say = folder, device, batch, file, say
        self._known = read_answers(file, self.model) if file else {}
        self._answerers: dict[Decoding, Answers] = {}
        self.made_by: Counter[str] = Counter()

    def ask(self, prompts: Sequence[Prompt], decoding: Decoding = "greedy") -> list[Answered]:
        """One answer a prompt, in their order. Raises `AnswersUnavailable` where some cannot be made here."""
        for answered in self._made(list(self.missing(prompts, decoding)), decoding):
            self._known[answered.key, answered.decoding] = answered
        answers = [self._known[prompt.key, decoding] for prompt in prompts]
        self.made_by.update(f"{answer.device} {answer.dtype}" for answer in answers)
        return answers

    def missing(self, prompts: Iterable[Prompt], decoding: Decoding = "greedy") -> Iterator[Prompt]:
        """The different ones that have no answer yet."""
        unanswered = {prompt.key: prompt for prompt in prompts if (prompt.key, decoding) not in self._known}
        return iter(unanswered.values())

    def _made(self, prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[Answered]:
        if not prompts:
            return iter(())
        if decoding == "constrained" and find_spec(_GRAMMAR_LIBRARY) is None:
            raise AnswersUnavailable(decoding, len(prompts), _GRAMMAR_LIBRARY)
        self._say(f"{len(prompts)} {decoding} answers to make on {self._device}")
        if decoding not in self._answerers:
            self._answerers[decoding] = Answerer(self._folder, self._device, decoding)
        lines = answer_lines(self._answerers[decoding], self.model, prompts, self._batch)
        return append_answers(self._file, lines) if self._file else lines
