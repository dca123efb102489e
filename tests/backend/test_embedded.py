from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time

import pytest
import torch
from transformers import AutoTokenizer

from backend.client import EngineConfig, Sampling, connect
from backend.embedded_model import Abandoned, EmbeddedModel, Prompt
from backend.errors import ContextTooLong, EngineRefused, EngineTimeout, ModelFolderInvalid

QUESTION = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Wie groß ist der Fjord? 🌊"}]
DRAWN = Sampling(max_tokens=24, temperature=1.0, seed=7)


@pytest.fixture
def engine(exact_folder):
    return connect(EngineConfig("small", "embedded/tiny", path=str(exact_folder)))


def complete(engine, sampling=DRAWN, salt="a tenant"):
    return asyncio.run(engine.complete(QUESTION, sampling, cache_salt=salt))


def stream(engine, sampling=DRAWN, salt=None):
    async def read():
        return [chunk async for chunk in engine.stream(QUESTION, sampling, cache_salt=salt)]

    return asyncio.run(read())


def test_greedy_tokens_are_those_of_transformers_own_generate(engine, exact_folder):
    tokenizer = AutoTokenizer.from_pretrained(exact_folder)
    prompt = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
    weights = EmbeddedModel(exact_folder)._loaded_weights()
    made = weights.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    answer = complete(engine, Sampling(max_tokens=20))
    assert answer.text == tokenizer.decode(made, skip_special_tokens=True)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (ids.shape[1], len(made))
    assert asyncio.run(engine.count_tokens(QUESTION)) == ids.shape[1]


def test_a_stream_is_the_whole_answer_in_pieces(engine):
    # Of tenants of their own, so that both compute the whole prompt: after a reused prefix a draw may fall otherwise.
    chunks = stream(engine, salt="who reads pieces")
    whole = complete(engine, salt="who reads the whole")
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(chunks) > 5
    assert chunks[-1].finish_reason == whole.finish_reason == "length"
    assert chunks[-1].usage == whole.usage


def test_a_seed_repeats_the_draw_and_another_changes_it(engine):
    assert complete(engine).text == complete(engine).text
    assert complete(engine).text != complete(engine, Sampling(max_tokens=24, temperature=1.0, seed=8)).text


def test_a_tiny_top_p_leaves_only_the_greedy_token(engine):
    narrow = Sampling(max_tokens=12, temperature=1.0, top_p=1e-6, seed=1)
    assert complete(engine, narrow).text == complete(engine, Sampling(max_tokens=12)).text


def test_a_presence_penalty_that_outweighs_all_logits_repeats_no_token(engine, exact_folder):
    tokens = []
    model = EmbeddedModel(exact_folder)
    decode = model._decode
    model._decode = lambda ids: tokens.append(list(ids)) or decode(ids)
    list(model.generate(Prompt(tuple(QUESTION), max_tokens=12, presence_penalty=1000.0), threading.Event()))
    longest = max(tokens, key=len)
    assert len(set(longest)) == len(longest)


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(engine):
    whole = complete(engine).text
    stop = whole[7:12]
    cut = complete(engine, Sampling(max_tokens=24, temperature=1.0, seed=7, stop=(stop,)))
    assert cut.text == whole[: whole.find(stop)]
    assert cut.finish_reason == "stop"
    chunks = stream(engine, Sampling(max_tokens=24, temperature=1.0, seed=7, stop=(stop,)))
    assert "".join(chunk.text for chunk in chunks) == cut.text


def test_the_end_token_ends_the_answer(exact_folder, tmp_path):
    folder = shutil.copytree(exact_folder, tmp_path / "ends")
    first = complete(connect(EngineConfig("m", "embedded/m", path=str(exact_folder))), Sampling(max_tokens=1))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    (token,) = tokenizer(first.text, add_special_tokens=False).input_ids
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [2, token]}))
    ended = complete(connect(EngineConfig("m", "embedded/m", path=str(folder))), Sampling(max_tokens=9))
    assert (ended.text, ended.finish_reason, ended.usage.completion_tokens) == ("", "stop", 1)


def test_the_window_is_the_configs_and_a_longer_request_is_refused(engine):
    assert asyncio.run(engine.window_tokens()) == 2048
    with pytest.raises(ContextTooLong, match="2048"):
        complete(engine, Sampling(max_tokens=2048))
    with pytest.raises(ContextTooLong):
        stream(engine, Sampling(max_tokens=2048))


def test_a_reader_who_leaves_stops_the_work_and_frees_the_model(exact_folder, engine):
    async def leave():
        chunks = engine.stream(QUESTION, Sampling(max_tokens=1900, temperature=1.0, seed=1), cache_salt=None)
        await anext(chunks)
        await chunks.aclose()
        return await engine.complete(QUESTION, Sampling(max_tokens=1), cache_salt=None)

    assert asyncio.run(leave()).usage.completion_tokens == 1


def test_a_cancelled_request_stops_within_the_prefill(exact_folder):
    model = EmbeddedModel(exact_folder)
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Abandoned):
        list(model.generate(Prompt(tuple(QUESTION), max_tokens=5), cancelled))


def test_a_request_over_its_time_is_a_timeout(exact_folder):
    config = EngineConfig("slow", "embedded/tiny", path=str(exact_folder), timeout_seconds=0.05, retries=0)
    with pytest.raises(EngineTimeout):
        complete(connect(config), Sampling(max_tokens=1900, stop=("never made",)))


def test_concurrent_requests_are_answered_one_after_the_other(engine, monkeypatch):
    running, most = [], []
    generate = EmbeddedModel.generate

    def watched(self, prompt, cancelled):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        yield from generate(self, prompt, cancelled)
        running.pop()

    monkeypatch.setattr(EmbeddedModel, "generate", watched)

    async def many():
        return await asyncio.gather(*(engine.complete(QUESTION, DRAWN, cache_salt=None) for _ in range(4)))

    answers = asyncio.run(many())
    assert len({answer.text for answer in answers}) == 1
    assert most == [1, 1, 1, 1]


def test_engines_share_one_registered_provider_and_its_loaded_model(exact_folder, engine):
    other = connect(EngineConfig("other", "embedded/other-name", path=str(exact_folder)))
    complete(engine)
    assert complete(other).model == "other-name"
    handlers = [entry for entry in engine._litellm.custom_provider_map if entry["provider"] == "embedded"]
    assert len(handlers) == 1
    assert len([folder for folder in handlers[0]["custom_handler"]._served if folder == exact_folder.resolve()]) == 1


def test_a_template_that_refuses_the_messages_is_an_error_of_the_request(exact_folder, tmp_path):
    folder = shutil.copytree(exact_folder, tmp_path / "strict")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    strict = connect(EngineConfig("strict", "embedded/strict", path=str(folder)))
    with pytest.raises(EngineRefused, match="roles must alternate") as refused:
        complete(strict)
    assert refused.value.status == 400
    with pytest.raises(EngineRefused, match="roles must alternate"):
        asyncio.run(strict.count_tokens(QUESTION))


def test_weights_that_cannot_be_loaded_name_the_folder(exact_folder, tmp_path):
    folder = shutil.copytree(exact_folder, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    engine = connect(EngineConfig("broken", "embedded/broken", path=str(folder)))
    with pytest.raises(ModelFolderInvalid, match="cannot be loaded"):
        complete(engine)


def test_truncated_weights_name_the_folder(exact_folder, tmp_path):
    folder = shutil.copytree(exact_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelFolderInvalid, match="cannot be loaded"):
        complete(connect(EngineConfig("cut", "embedded/cut", path=str(folder))))


def test_the_synchronous_calls_of_litellm_work_too(engine, exact_folder):
    call = {"model": "embedded/tiny", "messages": QUESTION, "max_tokens": 6, "model_folder": str(exact_folder)}
    whole = engine._litellm.completion(**call)
    parts = [part.choices[0].delta.content or "" for part in engine._litellm.completion(**call, stream=True)]
    assert "".join(parts) == whole.choices[0].message.content


def test_generation_leaves_torchs_global_random_state_alone(engine):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    complete(engine, Sampling(max_tokens=5, temperature=1.0))
    assert torch.equal(before, torch.random.get_rng_state())
