"""One peer in one process: PyTorch, transformers or TRL doing the same work as the engine.

Started by the benchmark with a JSON job as its only argument. Sets up, warms up, prints one line of JSON ("ready"), then
does one repetition for each line it reads and prints what it took: processor and wall seconds, units of work, and a number
to check that both sides did the same thing.
"""

import json
import os
import sys
import time

JOB = json.loads(sys.argv[1])
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch  # noqa: E402  (the environment comes first)

torch.set_num_threads(JOB.get("threads", 1))


def say(**fields):
    print(json.dumps(fields), flush=True)


def memory(field):
    """VmRSS or VmHWM of this process, in MiB."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return 0.0


def serve(repetition, **facts):
    """Says that it is ready, then one repetition a line."""
    say(ready=True, **facts)
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        units, check = repetition()
        say(cpu=time.process_time() - cpu, wall=time.perf_counter() - wall, units=units, check=check)


def llama():
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(JOB["model"], attn_implementation="sdpa", dtype=torch.float32)


class Training:
    """A training step on rows of tokens: forward, backward, clip, fused AdamW; in parts of `micro` rows."""

    def __init__(self, mode, micro):
        self.model = llama().train()
        self.micro = micro
        self.call = torch.compile(self.model, dynamic=False) if mode == "compile" else self.model
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01, fused=True
        )
        ids = torch.tensor(JOB["ids"])
        rows = JOB["rows"]
        self.inputs, self.targets = ids[:-1].view(rows, -1), ids[1:].view(rows, -1)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for inputs, targets in zip(self.inputs.split(self.micro), self.targets.split(self.micro)):
            logits = self.call(input_ids=inputs, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
            loss = loss / self.targets.numel()
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return total


def train():
    """The peer is given the cut into micro-batches that is fastest for it; `cut: whole` is what a user writes first."""
    rows, mode = JOB["rows"], JOB["mode"]
    best, first = (float("inf"), rows), None
    for micro in [rows] if JOB["cut"] == "whole" else [rows, rows // 2, rows // 4, rows // 8]:
        training = Training(mode, micro)
        loss = training.step()
        first = loss if first is None else first
        training.step()
        cpu = time.process_time()
        training.step()
        best = min(best, (time.process_time() - cpu, micro))
    training = Training(mode, best[1])
    for _ in range(2):
        training.step()

    def repetition():
        for _ in range(JOB["steps"]):
            loss = training.step()
        return JOB["steps"] * training.targets.numel(), loss

    serve(repetition, micro=best[1], first_loss=first)


def peak():
    """Peak memory of three training steps, whole and above what stood there before the model was made."""
    torch.nn.functional.cross_entropy(torch.randn(8, 8, requires_grad=True), torch.arange(8)).backward()
    import transformers  # noqa: F401

    before = memory("VmRSS")
    training = Training("eager", JOB["rows"])
    for _ in range(3):
        training.step()
    say(ready=True, peak=memory("VmHWM"), above=memory("VmHWM") - before)


def generate():
    """transformers' generate; with `eos` a sequence ends there, and only tokens up to it count."""
    model = llama().eval()
    prompts = torch.tensor(JOB["prompts"])
    settings = dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=JOB["new"], pad_token_id=1)
    settings["eos_token_id"] = JOB["eos"]
    if JOB["eos"] is None:
        settings["min_new_tokens"] = JOB["new"]
    model.generation_config.eos_token_id = JOB["eos"]
    model.generation_config.bos_token_id = None

    def repetition():
        units = 0
        with torch.inference_mode():
            for part in prompts.split(JOB["batch"]):
                out = model.generate(part, attention_mask=torch.ones_like(part), **settings)[:, part.shape[1] :]
                if JOB["eos"] is None:
                    units += out.numel()
                else:
                    ended = (out == JOB["eos"]).int()
                    units += int((ended.cumsum(1) - ended == 0).sum())
        return units, units / len(prompts)

    repetition()
    serve(repetition)


def gemm():
    """The best rate of torch's matrix product at the engine's sizes, in units of 1e9 operations."""
    shapes = [(512, 256, 1024), (512, 512, 512), (512, 1024, 256), (512, 384, 2432), (1024, 1024, 1024)]
    pairs = [(torch.randn(m, k), torch.randn(k, n)) for m, k, n in shapes]

    def repetition():
        best = 0.0
        for a, b in pairs:
            out = a @ b
            work = 2e-9 * a.shape[0] * a.shape[1] * b.shape[1]
            count = max(1, int(4 / work))
            cpu = time.process_time()
            for _ in range(count):
                torch.mm(a, b, out=out)
            best = max(best, count * work / (time.process_time() - cpu))
        return best, 0.0

    repetition()
    serve(repetition)


def muon():
    """torch.optim.Muon on the matrices of the blocks, AdamW on the rest, gradients given."""
    model = llama()
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".layers." in name)]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.0, momentum=0.95, nesterov=True, ns_steps=5)
    adamw = torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.01, fused=True)
    for p in model.parameters():
        p.grad = torch.randn_like(p)

    def repetition():
        for _ in range(JOB["steps"]):
            muon.step()
            adamw.step()
        return JOB["steps"], 0.0

    repetition()
    serve(repetition)


def versions():
    import datasets
    import transformers
    import trl

    kernels = torch.backends.cpu.get_cpu_capability()
    names = {"torch": torch, "transformers": transformers, "trl": trl, "datasets": datasets}
    found = {name: module.__version__ for name, module in names.items()}
    say(ready=True, kernels=kernels, mkl=torch.backends.mkl.is_available(), versions=found)


if __name__ == "__main__":
    if JOB["what"] == "grpo":
        import grpo

        grpo.main(JOB, say)
    else:
        {f.__name__: f for f in (train, peak, generate, gemm, muon, versions)}[JOB["what"]]()
