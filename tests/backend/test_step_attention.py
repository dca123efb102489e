from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from backend.step_attention import use_step_attention

IDS = torch.arange(5, 305).remainder(700).reshape(1, 300)


def loaded(folder, dtype, attention="sdpa"):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention)
    return model.eval()


def last_logits(model, *, steps):
    """After a prefill of all but the last `steps` tokens, which follow one by one."""
    with torch.inference_mode():
        output = model(input_ids=IDS[:, : IDS.shape[1] - steps], use_cache=True)
        for token in IDS[0, IDS.shape[1] - steps :]:
            output = model(input_ids=token.reshape(1, 1), past_key_values=output.past_key_values, use_cache=True)
    return output.logits[0, -1].float()


def test_steps_come_out_as_in_float32(model_folder):
    exact = last_logits(loaded(model_folder, torch.float32), steps=4)
    model = loaded(model_folder, torch.bfloat16)
    plain = last_logits(model, steps=4)
    use_step_attention(model)
    assert model.config._attn_implementation == "sdpa_step"
    stepped = last_logits(model, steps=4)
    assert (stepped - exact).abs().max() < 0.03 * exact.abs().max()
    assert (stepped - exact).norm() < 1.1 * (plain - exact).norm()


def test_a_prefill_is_left_to_torchs_own_kernel(model_folder):
    model = loaded(model_folder, torch.bfloat16)
    before = last_logits(model, steps=0)
    use_step_attention(model)
    assert torch.equal(last_logits(model, steps=0), before)


@pytest.mark.parametrize(("dtype", "attention"), [(torch.float32, "sdpa"), (torch.bfloat16, "eager")])
def test_other_models_are_left_as_they_are(model_folder, dtype, attention):
    model = loaded(model_folder, dtype, attention)
    use_step_attention(model)
    assert model.config._attn_implementation == attention
