"""Trains the starter from scratch: a small Llama with its own tokenizer, from short passages to long ones.

    python -m data.starter.train --minutes 90 --threads 1      # resumes where it stopped
    python -m data.starter.train --only-measure                # the abilities of the weights that lie here

One thread of a laptop is enough. Work in progress (weights, optimizer, tokenizer) lies in .groundtone/starter; the
finished model (bf16 safetensors, tokenizer, chat template, training.json) is written beside this file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import queue
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data.starter import generate
from groundtone import prompts

HERE = Path(__file__).resolve().parent
WORK = HERE.parents[1] / ".groundtone" / "starter"
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VOCABULARY, MAX_TOKENS, BATCH_TOKENS = 4096, 640, 6_000
PEAK_RATE, WARM_UP, DECAY_FROM = 2e-3, 200, 0.65  # decay to zero over the last 35 % of the time
BOUND, SHARE_OF_CONTEXT = 0.30, 0.10


@dataclass(slots=True)
class State:
    """Where a run stands; written with every checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    level: int = 0
    level_since: float = 0.0
    loss: float = 4.0
    log: list[dict[str, Any]] = field(default_factory=list)


def train_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Byte-level BPE, cased, digits one by one; chat markers are special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _tokenizer_text(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        model_max_length=1024,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(path)
    return fast


def _tokenizer_text() -> Iterator[str]:
    made = generate.rows(11, generate.TOP_LEVEL)
    for _ in range(30_000):
        row = next(made)
        yield row.prompt.messages[-1]["content"]
        yield row.reply


def encode(tokenizer: PreTrainedTokenizerFast, row: generate.Row) -> tuple[list[int], int]:
    """Token ids of prompt and reply, and where the reply starts."""
    head = "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in row.prompt.messages) + "<|assistant|>"
    ids: list[int] = tokenizer.encode(head, add_special_tokens=False)
    return ids + tokenizer.encode(row.reply + "<|end|>", add_special_tokens=False), len(ids)


def produce(folder: str, seed: int, level: Any, out: Any) -> None:
    """Fills the queue with batches of about BATCH_TOKENS tokens, bucketed by length (runs as a child process)."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    at, made, rng = -1, iter(()), random.Random(seed)
    while True:
        if at != level.value:
            at = level.value
            made = generate.rows(rng.randrange(2**31), at)
        pool = []
        for row in (next(made) for _ in range(1200)):
            ids, start = encode(tokenizer, row)
            if len(ids) <= MAX_TOKENS:
                pool.append(
                    (ids, start, row.kind not in ("arithmetic", "instruction", "conversation", "unknown", "reading"))
                )
        for batch in _buckets(pool, rng):
            out.put(batch)


def _buckets(pool: list[tuple[list[int], int, bool]], rng: random.Random) -> list[Any]:
    pool.sort(key=lambda r: len(r[0]))
    batches, batch = [], []
    for row in pool:
        if batch and (len(batch) + 1) * len(row[0]) > BATCH_TOKENS:
            batches.append(batch)
            batch = []
        batch.append(row)
    batches.append(batch)
    rng.shuffle(batches)
    return batches


def losses(
    model: LlamaForCausalLM, batch: list[tuple[list[int], int, bool]], rng: random.Random
) -> tuple[torch.Tensor, float | None, int]:
    """The training loss, the mean loss of grounded replies, and the number of real tokens.

    Rows are padded on the right, so causal attention needs no mask. The head reads labelled positions only: every
    reply token, and a tenth of the prompt's tokens at a tenth of the weight.
    """
    device = next(model.parameters()).device
    width = max(len(ids) for ids, _, _ in batch)
    padded = torch.tensor([ids + [0] * (width - len(ids)) for ids, _, _ in batch], device=device)
    positions, weights, grounded = [], [], []
    for i, (ids, start, is_grounded) in enumerate(batch):
        for t in range(len(ids) - 1):
            in_reply = t + 1 >= start
            if in_reply or rng.random() < SHARE_OF_CONTEXT:
                positions.append(i * width + t)
                weights.append(1.0 if in_reply else SHARE_OF_CONTEXT)
                grounded.append(in_reply and is_grounded)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        hidden = model.model(input_ids=padded, use_cache=False).last_hidden_state
        index = torch.tensor(positions, device=device)
        logits = model.lm_head(hidden.reshape(-1, hidden.shape[-1])[index])
    targets = padded.reshape(-1)[index + 1]
    each = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    weight, mask = torch.tensor(weights, device=device), torch.tensor(grounded, device=device)
    seen = float(each[mask].mean().detach()) if mask.any() else None
    return (each * weight).sum() / weight.sum(), seen, sum(len(ids) for ids, _, _ in batch)


def rate(progress: float, step: int) -> float:
    """Learning rate: warm-up, plateau, linear decay to zero over the last part of the run (`progress` in 0..1)."""
    decay = 1.0 if progress < DECAY_FROM else max(0.0, (1 - progress) / (1 - DECAY_FROM))
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * decay


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            initializer_range=0.04,
        )
    )


def save_checkpoint(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Weights and optimizer as safetensors, the rest as JSON; each file is replaced whole."""
    names = [n for n, _ in model.named_parameters()]
    tensors = {f"model.{n}": p.detach() for n, p in model.named_parameters()}
    for i, values in optimizer.state_dict()["state"].items():
        tensors |= {f"{key}.{names[i]}": value for key, value in values.items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, WORK / "checkpoint.tmp")
    (WORK / "checkpoint.tmp").replace(WORK / "checkpoint.safetensors")
    (WORK / "state.tmp").write_text(json.dumps(asdict(state)))
    (WORK / "state.tmp").replace(WORK / "state.json")


def load_checkpoint(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> State:
    tensors = load_file(WORK / "checkpoint.safetensors")
    model.load_state_dict({n: tensors[f"model.{n}"] for n, _ in model.named_parameters()}, strict=False)
    saved = optimizer.state_dict()
    saved["state"] = {
        i: {key: tensors[f"{key}.{n}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for i, (n, _) in enumerate(model.named_parameters())
        if f"exp_avg.{n}" in tensors
    }
    optimizer.load_state_dict(saved)
    return State(**json.loads((WORK / "state.json").read_text()))


@torch.no_grad()
def measure(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, *, n: int = 400, seed: int = 987_654
) -> dict[str, Any]:
    """Share of exactly right replies by kind on rows never trained on; grounded kinds also by citation."""
    model.eval()
    made = generate.rows(seed, generate.TOP_LEVEL)
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for row in (next(made) for _ in range(n)):
        ids, start = encode(tokenizer, row)
        if start > 900:
            continue
        out = model.generate(torch.tensor([ids[:start]]), max_new_tokens=90, do_sample=False, pad_token_id=0)
        said = tokenizer.decode(out[0, start:], skip_special_tokens=True)
        seen[row.kind] += 1
        right[row.kind] += said == row.reply
        if said != row.reply and len(examples[row.kind]) < 2:
            examples[row.kind].append(f"{said!r} for {row.reply!r}")
    model.train()
    return {"right": {k: f"{right[k]}/{seen[k]}" for k in sorted(seen)}, "wrong": dict(examples)}


def run(minutes: float, threads: int, save_every_s: float) -> None:
    """Trains until the minutes are used up (counted over all resumed runs), then writes the finished model."""
    torch.set_num_threads(threads)
    WORK.mkdir(parents=True, exist_ok=True)
    folder = WORK / "tokenizer"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder) if folder.exists() else train_tokenizer(folder)
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.02)
    state = load_checkpoint(model, optimizer) if (WORK / "checkpoint.safetensors").exists() else State()
    rng = random.Random(state.step)
    level, batches = mp.Value("i", state.level), mp.Queue(maxsize=12)
    worker = mp.Process(target=produce, args=(str(folder), 1 + state.step, level, batches), daemon=True)
    worker.start()
    budget, saved = minutes * 60, time.monotonic()
    while state.seconds < budget:
        began = time.monotonic()
        try:
            batch = batches.get(timeout=300)
        except queue.Empty as error:
            raise RuntimeError("the row generator stopped: see its message above") from error
        loss, grounded, tokens = losses(model, batch, rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate(state.seconds / budget, state.step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.tokens += tokens
        state.seconds += time.monotonic() - began
        if grounded is not None:
            state.loss += 0.02 * (grounded - state.loss)
        if state.step % 100 == 0:
            _report(state)
        _advance(state, level, budget)
        if time.monotonic() - saved > save_every_s:
            save_checkpoint(model, optimizer, state)
            print(json.dumps(measure(model, tokenizer, n=150)), flush=True)
            saved = time.monotonic()
    worker.terminate()
    save_checkpoint(model, optimizer, state)
    finish(model, tokenizer, state)


def _report(state: State) -> None:
    line = {
        "step": state.step,
        "tokens": state.tokens,
        "level": state.level,
        "grounded_loss": round(state.loss, 4),
        "tokens_per_s": round(state.tokens / max(state.seconds, 1e-9)),
        "minutes": round(state.seconds / 60, 1),
    }
    if state.step % 500 == 0:
        state.log.append(line)
    print(json.dumps(line), flush=True)


def _advance(state: State, level: Any, budget: float) -> None:
    """To longer contexts when grounded replies are read well, or when a level has had a fifth of the time."""
    stuck = state.seconds - state.level_since > 0.2 * budget
    if state.level < generate.TOP_LEVEL and (state.loss < BOUND or stuck):
        state.level += 1
        state.level_since, state.loss = state.seconds, state.loss + 0.3
        level.value = state.level
        print(f"level {state.level} after {state.tokens:,} tokens", flush=True)


def finish(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, state: State, *, out: Path = HERE) -> None:
    """Writes the model in bf16 with its tokenizer and a training record beside this file."""
    abilities = measure(model, tokenizer, n=1000)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    record = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": state.step,
        "tokens": state.tokens,
        "minutes": round(state.seconds / 60, 1),
        "prompt_template": prompts.template_hash(),
        "public_reading_data": generate.shared_folder().is_dir(),
        "level": state.level,
        "right": abilities["right"],
        "log": state.log,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(abilities, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=90, help="training time over all resumed runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every-s", type=float, default=420)
    parser.add_argument("--only-measure", action="store_true")
    parser.add_argument(
        "--snapshot", type=Path, help="write the latest checkpoint as a model into this folder and stop"
    )
    args = parser.parse_args()
    if args.only_measure:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(HERE)
        print(
            json.dumps(
                measure(LlamaForCausalLM.from_pretrained(HERE, dtype=torch.float32), tokenizer, n=1000), indent=1
            )
        )
    elif args.snapshot:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(WORK / "tokenizer")
        model = new_model(tokenizer)
        tensors = load_file(WORK / "checkpoint.safetensors")
        model.load_state_dict({n: tensors[f"model.{n}"] for n, _ in model.named_parameters()}, strict=False)
        finish(model, tokenizer, State(**json.loads((WORK / "state.json").read_text())), out=args.snapshot)
    else:
        run(args.minutes, args.threads, args.save_every_s)


if __name__ == "__main__":
    main()
