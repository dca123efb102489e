"""Answers held to a grammar: the tokens that may come, in one answer, in a batch, and through the engine's client."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from backend.client import EngineConfig, Sampling, connect
from backend.constraint import ConstrainedBatch, Grammars, GrammarUnusable
from backend.embedded_model import EmbeddedModel, Prompt
from backend.errors import EngineMisconfigured, EngineRefused

QUESTION = [{"role": "user", "content": "Which? 🌊"}]
COLOURS = "start: /red|green|greenish/ (/, / /red|green/)?"
ENDLESS = 'start: /[0-9]+/ "!" /x/'


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="module")
def grammars(tokenizer):
    return Grammars(tokenizer)


@pytest.fixture
def engine(model_folder):
    return connect(EngineConfig("small", "embedded/tiny", path=str(model_folder)))


def complete(engine, **sampling):
    return asyncio.run(engine.complete(QUESTION, Sampling(**sampling), cache_salt=None))


def allowed_texts(constraint, tokenizer):
    mask = constraint.allowed(len(tokenizer))
    return {tokenizer.decode([token]) for token in mask.nonzero()[0].tolist()}


def advance(constraint, tokenizer, text):
    for token in tokenizer.encode(text, add_special_tokens=False):
        constraint.advance(token)


def test_allowed_are_all_tokens_that_continue_the_text_and_no_others(grammars, tokenizer):
    constraint = grammars.constraint(COLOURS)
    vocabulary = {tokenizer.decode([token]) for token in range(len(tokenizer))} - {""}
    begun = {text for text in vocabulary if "red".startswith(text) or "greenish".startswith(text)}
    assert {"r", "g"} <= allowed_texts(constraint, tokenizer) == begun


def test_an_answer_may_end_where_the_grammar_is_complete_and_must_where_it_goes_no_further(grammars, tokenizer):
    constraint = grammars.constraint(COLOURS)
    end = tokenizer.eos_token_id
    assert not constraint.allowed(len(tokenizer))[end]
    advance(constraint, tokenizer, "green")
    assert {"i", ",", tokenizer.eos_token} <= allowed_texts(constraint, tokenizer)
    advance(constraint, tokenizer, ", red")
    assert allowed_texts(constraint, tokenizer) == {tokenizer.eos_token}


def test_two_answers_of_one_grammar_do_not_disturb_each_other(grammars, tokenizer):
    first, second = grammars.constraint(COLOURS), grammars.constraint(COLOURS)
    advance(first, tokenizer, "red")
    assert "g" in allowed_texts(second, tokenizer)


def test_logits_that_are_wider_than_the_vocabulary_gain_no_tokens(grammars, tokenizer):
    mask = grammars.constraint(COLOURS).allowed(len(tokenizer) + 100)
    assert mask.shape == (len(tokenizer) + 100,)
    assert not mask[len(tokenizer) :].any()


def test_a_grammar_that_is_none_is_refused_with_its_fault(grammars):
    with pytest.raises(GrammarUnusable, match="unknown name"):
        grammars.constraint("start: nothing")


def test_a_tokenizer_without_a_fast_form_is_refused():
    with pytest.raises(GrammarUnusable, match="no fast one"):
        Grammars(object(), [0])


def test_the_engine_answers_within_the_grammar_and_ends_by_itself(engine):
    answer = complete(engine, max_tokens=40, grammar=COLOURS)
    parts = answer.text.split(", ")
    assert parts[0] in ("red", "green", "greenish")
    assert all(part in ("red", "green") for part in parts[1:])
    assert answer.finish_reason == "stop"
    assert complete(engine, max_tokens=40).finish_reason == "length"


def test_drawn_answers_stay_within_the_grammar_too(engine):
    texts = {complete(engine, max_tokens=40, grammar=COLOURS, temperature=1.5, seed=seed).text for seed in range(6)}
    assert len(texts) > 1
    assert all(set(text.split(", ")) <= {"red", "green", "greenish"} for text in texts)


def test_an_answer_that_max_tokens_cuts_off_says_so(engine):
    answer = complete(engine, max_tokens=12, grammar=ENDLESS, temperature=1.0, seed=1)
    assert answer.usage.completion_tokens <= 12
    if answer.finish_reason == "stop":
        assert answer.text.endswith("!x")
    else:
        assert answer.finish_reason == "length"
    cut = complete(engine, max_tokens=2, grammar="start: /[0-9]{9}/")
    assert (cut.finish_reason, cut.usage.completion_tokens) == ("length", 2)


def test_a_stream_is_held_to_the_grammar_as_a_whole_answer_is(engine):
    async def read():
        sampling = Sampling(max_tokens=40, grammar=COLOURS)
        return [chunk async for chunk in engine.stream(QUESTION, sampling, cache_salt=None)]

    assert "".join(chunk.text for chunk in asyncio.run(read())) == complete(engine, max_tokens=40, grammar=COLOURS).text


def test_the_engine_refuses_a_grammar_that_is_none(engine):
    with pytest.raises(EngineRefused, match="unknown name") as caught:
        complete(engine, max_tokens=4, grammar="start: nothing")
    assert caught.value.status == 400
    assert complete(engine, max_tokens=4).text


def test_a_batch_gives_each_row_what_it_would_get_alone(grammars, tokenizer, model_folder):
    folder = EmbeddedModel(model_folder)
    dtype = folder._loaded_weights().dtype
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=dtype)
    questions = [({"role": "user", "content": text},) for text in ("One?", "And a longer question, two?", "3", "Four")]
    rows = [COLOURS, None, 'start: /[a-z]{5}/ "."', COLOURS]
    prompts = [tokenizer.apply_chat_template(q, tokenize=False, add_generation_prompt=True) for q in questions]
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    out = model.generate(
        **inputs, max_new_tokens=24, do_sample=False, logits_processor=[ConstrainedBatch(grammars, rows)]
    )
    texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    alone = []
    for question, row in zip(questions, rows, strict=True):
        prompt = Prompt(question, max_tokens=24, grammar=row)
        alone.append("".join(piece.text for piece in folder.generate(prompt, threading.Event())))
    assert texts[0] in ("red", "green", "greenish") or ", " in texts[0]
    assert len(texts[2]) == 6
    assert len(texts[1]) > 20
    # Padding changes the order of additions, so bfloat16 may prefer another token; the grammar holds all the same.
    if dtype == torch.float32:
        assert texts == alone


def test_a_row_that_has_ended_is_left_to_its_padding(grammars, tokenizer):
    batch = ConstrainedBatch(grammars, ["start: /a/", "start: /b{3}/"])
    width, end = len(tokenizer), tokenizer.eos_token_id
    a, b = (tokenizer.encode(text)[0] for text in "ab")
    ids = torch.tensor([[1, 1], [1, 1]])
    for column in ([a, b], [end, b], [0, b], [0, end]):
        scores = batch(ids, torch.zeros(2, width))
        assert all(scores[row, token] == 0 for row, token in enumerate(column))
        ids = torch.cat([ids, torch.tensor([column]).T], dim=1)
    assert (batch(ids, torch.zeros(2, width)) == 0).all()


def test_vllm_gets_the_grammar_in_the_body(server):
    engine = connect(EngineConfig("main", "hosted_vllm/served", api_base=server.api_base))
    complete(engine, grammar=COLOURS)
    complete(engine)
    with_grammar, without = server.bodies
    assert with_grammar["structured_outputs"] == {"grammar": COLOURS}
    assert "structured_outputs" not in without


def test_a_provider_that_takes_no_grammar_is_never_asked_with_one(server):
    engine = connect(EngineConfig("cloud", "openai/x", api_base=server.api_base, api_key="k"))
    with pytest.raises(EngineMisconfigured, match="takes no grammar"):
        complete(engine, grammar=COLOURS)
    assert server.requests == []
