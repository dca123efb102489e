"""Trains kvasir-mini from an empty folder: `python -m backend.mini.train --folder DIR [--seconds N] [--resume]`.

It uses every GPU of the machine, one process each, or else the CPU. The folder gets the tokenizer, `log.jsonl`,
`checkpoint.pt` and, whenever a checkpoint is written, `model/`: the weights in bfloat16 as transformers and vLLM load
them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, count
from math import cos, pi
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from backend.mini.muon import Muon
from backend.mini.replica import Replica, on_each
from backend.mini.sample import Sample
from backend.mini.stream import CHUNK_DATABASES, Batch, batches, database_samples
from backend.mini.tokenizer import TextEncoder, train_tokenizer
from backend.mini.training import Shape, Training

LOG_STEPS = 50


def build_model(shape: Shape, seed: int, *, end: int, pad: int) -> Any:
    """A `LlamaForCausalLM` in float32 with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.vocab_tokens,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.window_tokens,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config)


def make_tokenizer(training: Training, folder: Path, processes: int = 1) -> None:
    """Trained on the first databases that are not easy, so that every skill's words are in it."""
    first = training.easy_databases // CHUNK_DATABASES
    chunks = range(first, first + max(1, training.tokenizer_databases // CHUNK_DATABASES))
    with get_context("spawn").Pool(processes) as pool:
        texts = [text for made in pool.map(partial(_database_texts, training), chunks) for text in made]
    train_tokenizer(texts, folder, training.shape.vocab_tokens, least_texts=training.tokenizer_least)


def _database_texts(training: Training, chunk: int) -> list[str]:
    """All that is said about each database of a chunk."""
    return ["\n".join(map(_text, samples)) for samples in database_samples(training, chunk)]


def _text(sample: Sample) -> str:
    return "\n".join([*(f"{message['role']}\n{message['content']}" for message in sample.messages), sample.answer])


class Trainer:
    """A run in `folder`: its model, optimisers and place in the data. Of several replicas, the first one writes."""

    def __init__(
        self, folder: Path, training: Training, *, device: str, compiled: bool = False, replica: Replica | None = None
    ) -> None:
        self.folder, self.training, self.device = folder, training, torch.device(device)
        self._replica = replica or Replica()
        encoder = TextEncoder(folder)
        shape = replace(training.shape, vocab_tokens=-(-encoder.size // 64) * 64)
        self.model = build_model(shape, training.seed, end=encoder.end, pad=encoder.pad).to(self.device)
        self._pad = encoder.pad
        if compiled:
            for layer in self.model.model.layers:
                layer.compile(dynamic=False)
        matrices = [weight for weight in self.model.model.layers.parameters() if weight.dim() == 2]
        inside = set(matrices)
        others = [weight for weight in self.model.parameters() if weight not in inside]
        self.muon = Muon(matrices, momentum=training.momentum, weight_decay=training.weight_decay)
        self.adamw = torch.optim.AdamW(
            [
                {"params": [weight for weight in others if weight.dim() == 2], "weight_decay": training.weight_decay},
                {"params": [weight for weight in others if weight.dim() < 2], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.95),
            fused=self.device.type == "cuda",
        )
        self.log_steps = LOG_STEPS
        self.steps = self.tokens = self.chunk = 0
        self.seconds = 0.0

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What is minimised, and the mean loss in nats of the answers' tokens alone.

        Padding stands at the right, so causal attention needs no mask. Logits are computed for predicted tokens only.
        """
        ids = torch.from_numpy(batch.ids.astype("int64")).to(self.device, non_blocking=True)
        answers = torch.from_numpy(batch.answers).to(self.device, non_blocking=True)[:, 1:]
        targets = ids[:, 1:]
        chosen = torch.rand(targets.shape, device=self.device) < self.training.context_share
        predicted = answers | (chosen & (targets != self._pad))
        with torch.autocast(self.device.type, torch.bfloat16):
            states = self.model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][predicted]
            logits = self.model.lm_head(states)
        losses = functional.cross_entropy(logits.float(), targets[predicted], reduction="none")
        is_answer = answers[predicted]
        weights = torch.where(is_answer, 1.0, self.training.context_weight)
        answer_loss = (losses.detach() * is_answer).sum() / is_answer.sum().clamp(min=1)
        return (losses * weights).sum() / weights.sum(), answer_loss

    def step(self, batch: Batch, spent: float) -> tuple[torch.Tensor, float]:
        """One update at the share `spent` of the budget; gives the answers' loss and AdamW's learning rate."""
        share = self._learning_share(spent)
        loss, answer_loss = self.loss(batch)
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._replica.average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip)
        rate = self.training.learning_rate * share
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()
        self.muon.step(self.training.matrix_learning_rate * share)
        self.steps += 1
        self.tokens += batch.ids.size * self._replica.count
        return answer_loss, rate

    def warm_up(self) -> None:
        """Compile for every length of batch now, since later each replica would wait for the others' compilers."""
        training = self.training
        for length in training.lengths:
            rows = max(1, training.batch_tokens // length)
            ids = np.full((rows, length), self._pad + 1, dtype=np.uint16)
            self.loss(Batch(ids, np.ones((rows, length), dtype=np.bool_)))[0].backward()  # type: ignore[no-untyped-call]
        self.model.zero_grad(set_to_none=True)

    def run(self, source: Iterator[tuple[Batch, int]], *, max_steps: int | None = None) -> None:
        """Train until the budget of seconds, or of steps, is spent; then write the last checkpoint."""
        source = chain([next(source)], source)  # The budget is of training, not of waiting for the first batch.
        before, began, saved, noted = self.seconds, time.monotonic(), time.monotonic(), time.monotonic()
        total = torch.zeros((), device=self.device)
        noted_tokens = self.tokens
        for batch, chunk in source:
            spent = self.seconds / self.training.seconds if max_steps is None else self.steps / max_steps
            spent = self._replica.of_first(spent)
            if spent >= 1:
                break
            answer_loss, rate = self.step(batch, spent)
            total += answer_loss
            self.chunk = chunk
            now = time.monotonic()
            self.seconds = before + now - began
            if self.steps % self.log_steps == 0:
                mean = total.item() / self.log_steps
                now = time.monotonic()
                self._log(mean, rate, (self.tokens - noted_tokens) / (now - noted))
                noted, noted_tokens = now, self.tokens
                total.zero_()
            if now - saved > self.training.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Replace the checkpoint, then the folder that a server loads; a reader never sees half of either."""
        if not self._replica.first:
            return
        state = {
            "model": self.model.state_dict(),
            "adamw": self.adamw.state_dict(),
            "muon": self.muon.state(),
            "place": {"steps": self.steps, "tokens": self.tokens, "chunk": self.chunk, "seconds": self.seconds},
        }
        torch.save(state, self.folder / "checkpoint.new")
        os.replace(self.folder / "checkpoint.new", self.folder / "checkpoint.pt")
        export(self.model, self.folder, self.folder / "model")

    def start_from(self, folder: Path) -> None:
        """The weights of a model folder; the optimiser and the text begin anew, past the easy databases."""
        from transformers import LlamaForCausalLM

        self.model.load_state_dict(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict())
        self.chunk = self.training.easy_databases // CHUNK_DATABASES

    def resume(self) -> None:
        state = torch.load(self.folder / "checkpoint.pt", map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.adamw.load_state_dict(state["adamw"])
        self.muon.load(state["muon"])
        place = state["place"]
        self.steps, self.tokens, self.seconds = place["steps"], place["tokens"], place["seconds"]
        # Each replica had a chunk of about that number.
        self.chunk = place["chunk"] + self._replica.count

    def _learning_share(self, spent: float) -> float:
        """Of the peak learning rates."""
        warm = min(1.0, (self.steps + 1) / self.training.warmup_steps)
        low = self.training.final_share
        return warm * (low + (1 - low) * (1 + cos(pi * min(1.0, spent))) / 2)

    def _log(self, answer_loss: float, rate: float, speed: float) -> None:
        """The loss is that of the first replica's text."""
        if not self._replica.first:
            return
        entry = {
            "step": self.steps,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "answer_loss": round(answer_loss, 5),
            "learning_rate": round(rate, 7),
            "tokens_per_second": round(speed),
            "chunk": self.chunk,
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")


def export(model: Any, tokenizer: Path, folder: Path) -> None:
    """Weights in bfloat16 in shards under 16 MB, config and tokenizer: a folder for transformers and vLLM."""
    from transformers import LlamaForCausalLM

    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16).save_pretrained(new, max_shard_size="15MB")
    copy_tokenizer(tokenizer, new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def copy_tokenizer(source: Path, target: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copy(source / name, target / name)


def ahead(source: Iterator[tuple[Batch, int]], waiting: int = 8) -> Iterator[tuple[Batch, int]]:
    """The same batches, made by a thread while the device works. What `source` raises is raised here."""
    queue: Queue[tuple[Batch, int] | Exception | None] = Queue(waiting)

    def put() -> None:
        try:
            for entry in source:
                queue.put(entry)
            queue.put(None)
        except Exception as exc:  # noqa: BLE001 - a thread's outermost edge; who waits raises it again
            queue.put(exc)

    Thread(target=put, daemon=True).start()
    while (entry := queue.get()) is not None:
        if isinstance(entry, Exception):
            raise entry
        yield entry


def work(replica: Replica, *, training: Training, folder: Path, processes: int, given: argparse.Namespace) -> None:
    """One replica's part of a run; `processes` make its text."""
    torch.set_float32_matmul_precision("high")
    cuda = torch.cuda.is_available()
    device = f"cuda:{replica.rank}" if cuda else "cpu"
    if cuda:
        torch.cuda.set_device(replica.rank)
    replica.join("nccl" if cuda else "gloo")
    trainer = Trainer(folder, training, device=device, compiled=cuda and not given.eager, replica=replica)
    if given.weights:
        trainer.start_from(given.weights)
    if given.resume:
        trainer.resume()
    places = count(trainer.chunk + replica.rank, replica.count)
    source = ahead(batches(training, folder, processes=processes, chunks=places))
    if cuda:
        trainer.warm_up()
    trainer.run(source)
    replica.leave()


def main() -> None:
    options = argparse.ArgumentParser(description="Train kvasir-mini.")
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--seconds", type=float, default=Training().seconds)
    options.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="that make text")
    options.add_argument("--replicas", type=int, default=max(1, torch.cuda.device_count()), help="a GPU each")
    options.add_argument("--data", type=Path, help="Spider's folder: its training questions are mixed in")
    options.add_argument("--weights", type=Path, help="a model folder to go on from, with its tokenizer")
    options.add_argument("--resume", action="store_true")
    options.add_argument("--eager", action="store_true", help="without torch.compile")
    given = options.parse_args()
    training = replace(Training(), seconds=given.seconds, data=str(given.data or ""))
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.weights:
        copy_tokenizer(given.weights, given.folder)
    if not (given.folder / "tokenizer.json").exists():
        make_tokenizer(training, given.folder, given.processes)
    processes = max(1, given.processes // given.replicas)
    on_each(given.replicas, partial(work, training=training, folder=given.folder, processes=processes, given=given))


if __name__ == "__main__":
    main()
