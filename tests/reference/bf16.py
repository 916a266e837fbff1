"""What bf16 autocast does to the loss and the gradient of the vector models; writes bf16.json.

`python tests/reference/bf16.py`, with torch, transformers and safetensors installed. The error of a gradient is the norm of
its difference from the f32 gradient, over all parameters, relative to the norm of that.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parent


def gradient(model, ids, autocast):
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits = model(input_ids=ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])


found = {}
for folder in sorted((ROOT.parent / "vectors/models").iterdir()):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").train()
    ids = load_file(folder / "case.safetensors")["input_ids"].long()
    loss, exact = gradient(model, ids, False)
    rounded_loss, rounded = gradient(model, ids, True)
    error = ((rounded - exact).norm() / exact.norm()).item()
    found[folder.name] = {"loss": loss, "bf16_loss": rounded_loss, "gradient_error": error}
(ROOT / "bf16.json").write_text(json.dumps(found, indent=2) + "\n")
