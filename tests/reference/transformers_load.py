"""usage: transformers_load.py FOLDER IDS.json OUT.safetensors: logits of a model's folder, as transformers computes them."""
import json
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

folder, ids, out = sys.argv[1:]
model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
with torch.no_grad():
    logits = model.eval()(torch.tensor(json.load(open(ids)))).logits
save_file({"logits": logits.contiguous()}, out)
