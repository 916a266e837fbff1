"""TRL's GRPOTrainer on the engine's model, prompts, lengths and rewards: one repetition is one rollout batch.

128 completions, log-probabilities of the sampling policy, two optimizer steps on 64 completions each, no reference model. As
few extras as its settings allow: no checkpointing, no logging of completions, f32, top-k and top-p off.
"""

import sys
import tempfile
import time

import torch


def tokenizer(words):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: index for index, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(ids, unk_token=words[1]))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=words[0], pad_token=words[1])


def main(job, say):
    from datasets import Dataset
    from transformers import LlamaForCausalLM, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    numbers = set(job["numbers"])
    lengths = []

    def reward(completions, **_):
        return [float(any(word in numbers for word in text.split())) for text in completions]

    class Pace(TrainerCallback):
        """Begins a rollout batch when asked to, and says what it took."""

        def __init__(self):
            self.ready = False

        def on_step_begin(self, args, state, control, **_):
            if state.global_step % 2 == 0 and state.global_step > 0:
                if not self.ready:
                    self.ready = True
                    say(ready=True)
                if not sys.stdin.readline():
                    control.should_training_stop = True
            self.start = self.start if state.global_step % 2 else (time.process_time(), time.perf_counter())

        def on_step_end(self, args, state, control, **_):
            if state.global_step % 2 == 0 and self.ready:
                cpu, wall = (now - then for now, then in zip((time.process_time(), time.perf_counter()), self.start))
                say(cpu=cpu, wall=wall, units=1, check=lengths[-1])

    class Counted(GRPOTrainer):
        """Notes the mean length of completions: both sides must have sampled as much."""

        def _generate_and_score_completions(self, inputs):
            out = super()._generate_and_score_completions(inputs)
            lengths.append(out["completion_mask"].sum(1).float().mean().item())
            return out

    words = tokenizer(job["words"])
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=64,
            gradient_accumulation_steps=1,
            steps_per_generation=2,
            num_generations=8,
            max_completion_length=job["new"],
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            beta=0.0,
            epsilon=0.2,
            loss_type="bnpo",
            learning_rate=1e-6,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            lr_scheduler_type="constant",
            max_steps=2 * 64,
            save_strategy="no",
            report_to=[],
            logging_steps=10**6,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Counted(
            model=LlamaForCausalLM.from_pretrained(job["model"], attn_implementation="sdpa", dtype=torch.float32),
            args=config,
            reward_funcs=reward,
            train_dataset=Dataset.from_list([{"prompt": text} for text in job["prompts"]]),
            processing_class=words,
            callbacks=[Pace()],
        )
        trainer.train()
