"""The reference model's tokenizer: a byte-level BPE in which a name is written the same way wherever it stands.

A question says "start date", a schema `start_date`, a join `orders.start_date`. So a space belongs to no word, `_`
and `.` stand alone, a case change starts a new piece, and digits come one by one: copying a name is copying tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.engine import Message
from backend.tiny_model import CHAT_TEMPLATE, END, PAD, START

VOCAB_TOKENS = 8192
"""At most."""
WINDOW_TOKENS = 4096

_PIECES = r"[0-9]|_|\.|\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|\p{L}|\s*[^\s\p{L}\p{N}_.]+\s*|\s+"
"""Punctuation takes the space around it along (` = `, `, `), or half of all tokens would be spaces."""


def train_tokenizer(
    texts: Iterable[str], folder: Path, vocab_tokens: int = VOCAB_TOKENS, *, least_texts: int = 1
) -> None:
    """Write a folder that `transformers` and vLLM load. The same texts give the same tokenizer.

    A text is a database's, and what counts is in how many of them a piece stands, `least_texts` at least: an invented
    name stands a hundred times in one and never again, and a token that training hardly shows is one that no model
    can copy.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    pieces = (sorted({piece for piece, _ in split.pre_tokenize_str(text)}) for text in texts)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_tokens,
        min_frequency=least_texts,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(pieces, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=WINDOW_TOKENS,
    ).save_pretrained(folder)


def prompt_text(messages: Sequence[Message]) -> str:
    """What a prompt of `messages` is, up to where the answer begins."""
    said = "".join(f"{START}{message['role']}\n{message['content']}{END}\n" for message in messages)
    return f"{said}{START}assistant\n"


class TextEncoder:
    """Messages as token ids, with the answers marked. One a process."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._core: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        special: dict[str, int] = self._core.get_vocab()
        self.end, self.pad, self.size = special[END], special[PAD], len(special)
        self.pieces = tuple(sorted({entry.lower() for entry in special if entry.isascii() and entry.isalpha()}))
        """The entries that are words or parts of words, in lower case."""

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._core.encode(text, add_special_tokens=False).ids
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids, and for each the characters [begin, end) of `text` that it stands for."""
        found = self._core.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self._core.decode(list(ids), skip_special_tokens=True)
        return text

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Up to where the answer begins."""
        return self.encode(prompt_text(messages))

    def training(
        self, messages: Sequence[Message], answer: str
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
        """Ids, and which of them the model has to write: each assistant's message with its end."""
        ids: list[int] = []
        marks: list[bool] = []
        waiting = ""
        for message in [*messages, Message(role="assistant", content=answer)]:
            waiting += f"{START}{message['role']}\n"
            if message["role"] != "assistant":
                waiting += f"{message['content']}{END}\n"
                continue
            for text, marked in ((waiting, False), (f"{message['content']}{END}", True)):
                piece = self.encode(text)
                ids += piece
                marks += [marked] * len(piece)
            waiting = "\n"
        return np.array(ids, dtype=np.uint16), np.array(marks, dtype=np.bool_)
