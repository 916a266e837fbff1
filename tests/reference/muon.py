"""Twenty steps of Muon and of AdamW on small tensors, in double precision with numpy; writes muon.json.

Run as `python muon.py` beside this file. Gradients are inputs, so the reference needs no model.
"""

import json
import pathlib

import numpy as np

STEPS = 20
MUON = dict(lr=0.02, momentum=0.95, weight_decay=0.02, newton_schulz_steps=5)
ADAMW = dict(lr=0.003, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.1)
SHAPES = {
    "model.embed_tokens.weight": [5, 3],
    "model.layers.0.mlp.down_proj.weight": [4, 7],
    "model.layers.0.mlp.up_proj.weight": [7, 3],
    "model.layers.0.self_attn.q_proj.weight": [4, 4],
    "model.layers.0.input_layernorm.weight": [6],
}


def orthogonalise(g, steps):
    x = g / (np.linalg.norm(g) + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


def muon(p, gradients, scales):
    buffer = np.zeros_like(p)
    for g, scale in zip(gradients, scales):
        lr = MUON["lr"] * scale
        buffer = MUON["momentum"] * buffer + (1 - MUON["momentum"]) * g
        nesterov = (1 - MUON["momentum"]) * g + MUON["momentum"] * buffer
        update = orthogonalise(nesterov, MUON["newton_schulz_steps"]) * max(1, p.shape[0] / p.shape[1]) ** 0.5
        p = p * (1 - lr * MUON["weight_decay"]) - lr * update
    return p


def adamw(p, gradients, scales):
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, (g, scale) in enumerate(zip(gradients, scales), 1):
        lr = ADAMW["lr"] * scale
        p = p * (1 - lr * ADAMW["weight_decay"])
        m = ADAMW["beta1"] * m + (1 - ADAMW["beta1"]) * g
        v = ADAMW["beta2"] * v + (1 - ADAMW["beta2"]) * g * g
        m_hat, v_hat = m / (1 - ADAMW["beta1"] ** t), v / (1 - ADAMW["beta2"] ** t)
        p = p - lr * m_hat / (np.sqrt(v_hat) + ADAMW["eps"])
    return p


rng = np.random.default_rng(0)
scales = [min(1.0, (t + 1) / 5) for t in range(STEPS)]
tensors = {}
for name, shape in SHAPES.items():
    start = rng.normal(size=shape).astype(np.float32)
    gradients = rng.normal(size=[STEPS, *shape]).astype(np.float32)
    rule = muon if ".layers." in name and len(shape) == 2 else adamw
    end = rule(start.astype(np.float64), gradients.astype(np.float64), scales)
    flat = lambda x: [float(f"{value:.9g}") for value in x.reshape(-1)]
    tensors[name] = dict(
        shape=shape, start=flat(start), gradients=[flat(g) for g in gradients], end=flat(end)
    )
out = pathlib.Path(__file__).with_name("muon.json")
out.write_text(json.dumps(dict(muon=MUON, adamw=ADAMW, scales=scales, tensors=tensors), separators=(",", ":")) + "\n")
