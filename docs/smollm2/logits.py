"""How far logits of `ablate logits` are from those of `transformers`, in f32: logits.py MODEL IDS.json LOGITS.safetensors"""
import json, os, sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

place, options = sys.argv[1], {}
if place.endswith(".gguf"):
    place, options = os.path.dirname(place) or ".", {"gguf_file": os.path.basename(place)}
model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **options).eval()
with torch.no_grad():
    theirs = model(torch.tensor(json.load(open(sys.argv[2])))).logits
ours = load_file(sys.argv[3])["logits"]
apart = (ours - theirs).abs()
p, q = torch.log_softmax(theirs, -1), torch.log_softmax(ours, -1)
print(f"shape {tuple(ours.shape)}, logits up to {theirs.abs().max():.1f}")
print(f"difference: largest {apart.max():.1e}, mean {apart.mean():.1e}")
print(f"KL: largest {((p.exp() * (p - q)).sum(-1)).max():.1e} nats")
print(f"same most likely token: {(ours.argmax(-1) == theirs.argmax(-1)).float().mean():.2%}")
