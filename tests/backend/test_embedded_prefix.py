"""Reuse of KV between the calls of an embedded model: the answers stay the same, and tenants see only their own."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

import backend
from backend.client import EngineConfig, Sampling, connect
from backend.embedded_model import Abandoned, EmbeddedModel, Piece, Prompt
from backend.growing_kv import ROOM_TOKENS

MINI = Path(backend.__file__).parent / "mini" / "model"
SYSTEM = {"role": "system", "content": "Answer with one query. " + "Table orders has the columns id, state. " * 12}


@pytest.fixture(scope="module")
def folder(exact_folder, tmp_path_factory):
    """With attention so strong that every answer depends on all of its prompt; at random it hardly does."""
    folder = shutil.copytree(exact_folder, tmp_path_factory.mktemp("attentive") / "model")
    weights = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for name, weight in weights.named_parameters():
            weight *= 12 if "_proj.weight" in name else 1
    weights.save_pretrained(folder)
    return folder


@pytest.fixture
def model(folder):
    return EmbeddedModel(folder)


def prompt(*said: str, tokens: int = 12, salt: str | None = "acme", **options) -> Prompt:
    roles = ("user", "assistant")
    turns = ({"role": roles[index % 2], "content": text} for index, text in enumerate(said))
    return Prompt((SYSTEM, *turns), max_tokens=tokens, cache_salt=salt, **options)


def ask(model: EmbeddedModel, wanted: Prompt) -> tuple[str, Piece]:
    pieces = list(model.generate(wanted, threading.Event()))
    return "".join(piece.text for piece in pieces), pieces[-1]


def fresh(folder, wanted: Prompt) -> str:
    text, last = ask(EmbeddedModel(folder, prefix_cache_mb=0), wanted)
    assert last.cached_tokens == 0
    return text


def common(model: EmbeddedModel, one: Prompt, other: Prompt) -> int:
    pairs = zip(model._encode(one.messages), model._encode(other.messages), strict=False)
    return next(index for index, (a, b) in enumerate(pairs) if a != b)


def test_the_answers_of_these_tests_depend_on_all_of_the_prompt(folder):
    wanted = prompt("How many orders?")
    changed = {**SYSTEM, "content": SYSTEM["content"].replace("one", "two")}
    assert fresh(folder, wanted) != fresh(folder, replace(wanted, messages=(changed, *wanted.messages[1:])))


def test_another_question_on_the_same_system_message_computes_only_the_question(model, folder):
    first, second = prompt("How many orders?"), prompt("Which state is most frequent?")
    assert ask(model, first)[1].cached_tokens == 0
    text, last = ask(model, second)
    assert last.cached_tokens == common(model, first, second) > model.count_tokens([SYSTEM]) - 10
    assert text == fresh(folder, second)


def test_only_the_rest_is_computed(model):
    widths = []
    hook = model._loaded_weights().model.embed_tokens.register_forward_pre_hook
    hook(lambda _, inputs: widths.append(inputs[0].shape[-1]))
    _, first = ask(model, prompt("How many orders?", tokens=3))
    _, second = ask(model, prompt("How many states?", tokens=3))
    assert widths == [first.prompt_tokens, 1, 1, second.prompt_tokens - second.cached_tokens, 1, 1]


def test_a_right_guess_spares_a_step_and_a_wrong_one_changes_nothing(monkeypatch):
    monkeypatch.setattr("backend.embedded_model.cpu_multiplies_bf16", lambda: False)
    model, widths = EmbeddedModel(MINI), []
    model._loaded_weights().model.embed_tokens.register_forward_pre_hook(
        lambda _, inputs: widths.append(inputs[0].shape[-1])
    )
    table = "Table shop_orders: order_id integer, order_state text, shop_code text, total_amount real."
    asked = Prompt(({"role": "system", "content": table}, {"role": "user", "content": "total amount by order state?"}))
    text, last = ask(model, asked)
    ids = torch.tensor([model._encode(asked.messages)])
    whole = (
        AutoModelForCausalLM.from_pretrained(MINI, dtype=torch.float32)
        .generate(ids, max_new_tokens=200, do_sample=False)[0]
        .tolist()
    )
    assert text == model._decode(whole[ids.shape[1] :])
    (entry,) = model.prefixes._entries
    assert entry.tokens.tolist() == whole[:-1]
    guessed = sum(width - 1 for width in widths[1:])
    spared = last.completion_tokens - len(widths)
    assert 0 < spared < guessed


def test_the_same_prompt_again_computes_its_last_token(model, folder):
    asked = prompt("How many orders?")
    texts, lasts = zip(*(ask(model, asked) for _ in range(3)), strict=True)
    assert [last.cached_tokens for last in lasts] == [0, lasts[0].prompt_tokens - 1, lasts[0].prompt_tokens - 1]
    assert set(texts) == {fresh(folder, asked)}


def test_the_next_turn_begins_behind_the_answer_of_the_last(model, folder):
    # Nonsense does not become the same tokens again when its text is encoded; a real model's answer does.
    _, first = ask(model, prompt("How many orders?"))
    (entry,) = model.prefixes._entries
    ids = [*entry.tokens.tolist(), 7, 8, 9]
    uncached = EmbeddedModel(folder, prefix_cache_mb=0)
    model._encode = uncached._encode = lambda _: ids
    uncached._loaded_tokenizer()
    text, last = ask(model, prompt())
    assert last.cached_tokens == first.prompt_tokens + first.completion_tokens - 1 == len(ids) - 3
    assert text == ask(uncached, prompt())[0]


def test_two_conversations_interleaved_keep_apart(model, folder):
    said = {"a": ["How many orders?"], "b": ["Which states are there?"]}
    longest = {"a": 0, "b": 0}
    for turn in range(3):
        for name, messages in said.items():
            text, last = ask(model, prompt(*messages))
            assert text == fresh(folder, prompt(*messages))
            assert last.cached_tokens > longest[name] or (turn, name) == (0, "a")
            longest[name] = last.cached_tokens
            messages += [text, f"And in turn {turn}?"]


def test_a_prompt_that_differs_early_reuses_what_is_before(model, folder):
    ask(model, prompt("How many orders?"))
    other = Prompt(({"role": "system", "content": SYSTEM["content"].replace("state", "status", 3)},), max_tokens=12)
    other = Prompt((*other.messages, *prompt("How many orders?").messages[1:]), max_tokens=12, cache_salt="acme")
    text, last = ask(model, other)
    assert 5 < last.cached_tokens < 40
    assert text == fresh(folder, other)


def test_another_tenants_prefix_is_computed_again(model):
    asked = prompt("How many orders?")
    ask(model, asked)
    for salt in ("other", None):
        assert ask(model, prompt("How many orders?", salt=salt))[1].cached_tokens == 0
    assert ask(model, asked)[1].cached_tokens > 0


def test_the_size_bounds_what_is_kept_and_the_oldest_goes(model, folder):
    ask(model, prompt("How many orders?", salt="first"))
    one = model.prefixes.size_bytes
    # Keys and values of 2 layers and 2 heads of 16 in float32, for the tokens and the room behind them.
    tokens = model.count_tokens(prompt("How many orders?").messages)
    assert one == 2 * 2 * 2 * 16 * 4 * (tokens + ROOM_TOKENS)
    model.prefixes.limit_bytes = 2 * one
    for salt in ("second", "third"):
        ask(model, prompt("How many orders?", salt=salt))
    assert model.prefixes.size_bytes == 2 * one
    cached = [ask(model, prompt("How many orders?", salt=salt))[1].cached_tokens for salt in ("third", "second")]
    assert min(cached) > 0
    assert ask(model, prompt("How many orders?", salt="first"))[1].cached_tokens == 0


def test_a_prefill_that_was_abandoned_leaves_what_it_began_with(model, folder):
    ask(model, prompt("How many orders?"))
    cancelled = threading.Event()
    layers = model._loaded_weights().model.layers
    leave = layers[0].register_forward_hook(lambda *_: cancelled.set())  # the second layer is never reached
    with pytest.raises(Abandoned):
        list(model.generate(prompt("Which state?"), cancelled))
    leave.remove()
    assert len(model.prefixes._entries) == 1
    for wanted in (prompt("Which state?"), prompt("How many orders?")):
        text, last = ask(model, wanted)
        assert last.cached_tokens > 0
        assert text == fresh(folder, wanted)


def test_a_first_prefill_that_was_abandoned_leaves_nothing(model):
    cancelled = threading.Event()
    layers = model._loaded_weights().model.layers
    leave = layers[0].register_forward_hook(lambda *_: cancelled.set())
    with pytest.raises(Abandoned):
        list(model.generate(prompt("Which state?"), cancelled))
    leave.remove()
    assert ask(model, prompt("Which state?"))[1].cached_tokens == 0


def test_an_answer_abandoned_within_a_step_leaves_its_whole_tokens(model, folder):
    cancelled, steps = threading.Event(), []
    layers = model._loaded_weights().model.layers

    def leave_in_the_fourth_step(*_):
        steps.append(1)
        if len(steps) == 4:
            cancelled.set()

    leave = layers[0].register_forward_hook(leave_in_the_fourth_step)
    with pytest.raises(Abandoned):
        list(model.generate(prompt("How many orders?"), cancelled))
    leave.remove()
    (entry,) = model.prefixes._entries
    assert entry.tokens.size == model.count_tokens(prompt("How many orders?").messages) + 2
    assert {layer.get_seq_length() for layer in entry.kv.layers} == {entry.tokens.size}
    answer = fresh(folder, prompt("How many orders?"))
    following = prompt("How many orders?", answer, "And now?")
    assert ask(model, following)[0] == fresh(folder, following)


def test_a_reader_who_leaves_between_pieces_leaves_a_usable_prefix(model, folder):
    pieces = model.generate(prompt("How many orders?"), threading.Event())
    next(pieces)
    pieces.close()
    text, last = ask(model, prompt("How many orders?"))
    assert last.cached_tokens == last.prompt_tokens - 1
    assert text == fresh(folder, prompt("How many orders?"))


def test_an_answer_longer_than_the_room_is_the_same(model, folder):
    long = prompt("How many orders?", tokens=ROOM_TOKENS + 40)
    assert ask(model, long)[0] == fresh(folder, long)
    assert ask(model, long)[0] == fresh(folder, long)


def test_growing_room_gives_the_tokens_of_transformers_own_cache(model):
    asked = prompt("How many orders?", tokens=ROOM_TOKENS + 20)
    ids = torch.tensor([model._encode(asked.messages)])
    made = model._loaded_weights().generate(ids, max_new_tokens=ROOM_TOKENS + 20, do_sample=False)[0, ids.shape[1] :]
    assert ask(model, asked)[0] == model._tokenizer.decode(made, skip_special_tokens=True)


@pytest.mark.parametrize("window", [16, 4000])
def test_a_model_with_a_sliding_window_computes_every_prompt_whole(exact_folder, tmp_path, window):
    folder = shutil.copytree(exact_folder, tmp_path / "sliding")
    (folder / "model.safetensors").unlink()
    config = MistralConfig(
        vocab_size=800,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
        eos_token_id=2,
        dtype="float32",
    )
    torch.manual_seed(1)
    MistralForCausalLM(config).save_pretrained(folder)
    model = EmbeddedModel(folder)
    for question in ("How many orders?", "How many orders?", "Which state?"):
        text, last = ask(model, prompt(question, tokens=40))
        assert last.cached_tokens == 0
        assert text == fresh(folder, prompt(question, tokens=40))


def test_positions_that_depend_on_the_whole_length_forbid_reuse(folder, tmp_path):
    dynamic = shutil.copytree(folder, tmp_path / "dynamic")
    config = json.loads((dynamic / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    (dynamic / "config.json").write_text(json.dumps(config))
    model = EmbeddedModel(dynamic)
    assert [ask(model, prompt("How many orders?"))[1].cached_tokens for _ in range(2)] == [0, 0]


def test_penalties_and_draws_do_not_write_into_what_is_kept(model, folder):
    drawn = prompt("How many orders?", temperature=1.0, seed=3, presence_penalty=0.5)
    assert len({ask(model, drawn)[0] for _ in range(3)} | {fresh(folder, drawn)}) == 1


def test_the_last_piece_has_the_seconds(model):
    _, last = ask(model, prompt("How many orders?"))
    assert 0 < last.ttft_seconds < last.total_seconds


def test_an_engine_reports_cached_tokens_by_tenant_and_streams_too(folder):
    config = EngineConfig("m", "embedded/m", path=str(folder))
    engine = connect(config)
    messages = list(prompt("What does an engine report?").messages)
    sampling = Sampling(max_tokens=4)

    async def streamed(salt):
        return [chunk async for chunk in engine.stream(messages, sampling, cache_salt=salt)][-1].usage

    def whole(salt):
        return asyncio.run(engine.complete(messages, sampling, cache_salt=salt)).usage

    prompt_tokens = whole("report-a").prompt_tokens
    assert asyncio.run(streamed("report-a")).cached_tokens == prompt_tokens - 1
    assert whole("report-b").cached_tokens == 0
    assert whole("report-b").cached_tokens == prompt_tokens - 1


def test_an_engine_without_room_keeps_nothing_until_another_engine_of_its_folder_has_some(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    messages = list(prompt("How many orders?").messages)

    def cached(size):
        engine = connect(EngineConfig("m", "embedded/m", path=str(copy), prefix_cache_mb=size))
        return asyncio.run(engine.complete(messages, Sampling(max_tokens=2), cache_salt="a")).usage.cached_tokens

    assert [cached(0), cached(0), cached(1)] == [0, 0, 0]
    assert cached(0) > 0
