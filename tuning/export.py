"""An adapter for other programs: merged weights with a proof, and what Ollama, vLLM and OpenAI want to be told."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundtone import prompts
from groundtone.errors import DataError, IntegrityError, ModelError
from groundtone.files import write_atomic
from groundtone.models.adapter import CARD, AdapterCard, dial_problem, read_adapter_config
from groundtone.models.chat_format import ChatFormat
from groundtone.models.quiet import quiet
from groundtone.models.replay import Agreement, agreement, record
from groundtone.models.weights import resolve_folder
from groundtone.types import Prompt, VoicePair

__all__ = ["chat_format_of", "merge", "ollama_modelfile", "openai_rows", "vllm_command"]

OPENAI_LEAST_ROWS = 10  # platform.openai.com/docs/guides/supervised-fine-tuning
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank accepts
_SYSTEM, _USER, _REPLY = "Sentinel system 5318", "Sentinel user 2764", "Sentinel reply 9041"


def merge(
    base: str,
    adapter: Path,
    out: Path,
    *,
    replay: Sequence[Prompt],
    dtype: str = "auto",
    device: str = "auto",
    allow_template_mismatch: bool = False,
    card: AdapterCard | None = None,
) -> Agreement:
    """Write the base with the adapter added to its weights, load it again and let it repeat the adapter's replies.

    `out` holds an ordinary model folder: safetensors, config, tokenizer with its chat template. Returns how far the
    merged model agrees; `card` is stored in the folder, where the adapter's access groups must go along. Raises
    ModelError where `out` exists, and IntegrityError, with nothing left at `out`, where
    32-bit weights do not repeat the adapter; 16-bit ones round each merged weight: the agreement says what it costs.
    """
    from groundtone.models.generate import LocalModel

    if out.exists():
        raise ModelError(f"{out} exists and was left alone: name a folder that does not")
    model = LocalModel.load(
        base, adapter=adapter, dtype=dtype, device=device, allow_template_mismatch=allow_template_mismatch
    )
    before = record(model, replay)
    precision, source = model.base.dtype, model.base.folder
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with quiet():
        merged = model.model.merge_and_unload(safe_merge=True)
        merged.save_pretrained(str(fresh))
        model.base.tokenizer.save_pretrained(str(fresh))
    stored = source / "generation_config.json"  # loading made it greedy; others get what the base came with
    if stored.is_file():
        shutil.copyfile(stored, fresh / stored.name)
    if card is not None:
        write_atomic(fresh / CARD, card.to_json())
    del model, merged
    found = agreement(before, LocalModel.load(str(fresh), dtype=precision, device=device))
    if precision == "float32" and not found.same:
        shutil.rmtree(fresh)
        raise IntegrityError(f"the merged model does not repeat the adapter {adapter}: {found.line()}")
    os.replace(fresh, out)
    return found


def chat_format_of(base: str) -> ChatFormat:
    """The chat format of a model, without its weights."""
    from transformers import AutoTokenizer

    return ChatFormat(AutoTokenizer.from_pretrained(resolve_folder(base), trust_remote_code=False))


def ollama_modelfile(chat_format: ChatFormat, source: str, *, bos: str | None = None) -> str:
    """A Modelfile for `ollama create NAME -f Modelfile`; `source` is the folder of merged weights.

    The template writes one turn exactly as training did. `bos` is left out, for Ollama adds that token itself. White
    space before a reply is the model's to write: shown with the prompt it would be cut from the word that follows.
    """
    user = {"role": "user", "content": _USER}
    told = chat_format.text(Prompt(({"role": "system", "content": _SYSTEM}, user), _USER))
    bare = chat_format.text(Prompt((user,), _USER))
    before_system, rest = _split(told, _SYSTEM, bos)
    between, after = _split(rest, _USER)
    before_user, bare_after = _split(bare, _USER, bos)
    if after != bare_after:
        raise ModelError("the chat template ends a prompt in another way with a system message: write TEMPLATE by hand")
    _, ending = _split(chat_format.decode(_completion(chat_format, user), keep_specials=True), _REPLY)
    template = (
        f"{{{{ if .System }}}}{before_system}{{{{ .System }}}}{between}{{{{ else }}}}{before_user}{{{{ end }}}}"
        f"{{{{ .Prompt }}}}{after}{{{{ .Response }}}}{ending}"
    )
    stop = chat_format.stop_id
    stops = [*([chat_format.decode([stop], keep_specials=True)] if stop is not None else []), *chat_format.stops]
    lines = [f"FROM {source}", f'TEMPLATE """{template}"""', "PARAMETER temperature 0"]
    lines += [f'PARAMETER stop "{text}"' for text in stops]  # as it stands: Ollama knows no escapes
    return "\n".join(lines) + "\n"


def _completion(chat_format: ChatFormat, user: dict[str, str]) -> list[int]:
    return chat_format.completion_ids(Prompt((user,), _USER), _REPLY)


def _split(text: str, sentinel: str, bos: str | None = None) -> tuple[str, str]:
    """What stands before and after the sentinel, without a leading `bos`."""
    if sentinel not in text:
        raise ModelError("the chat template changes the messages that it is given: write TEMPLATE by hand")
    before, after = text.split(sentinel, 1)
    return before.removeprefix(bos) if bos else before, after


def vllm_command(base: str, adapter: Path, *, name: str) -> str:
    """The command that serves base and adapter; a request's `model` is `name`. ModelError for what vLLM cannot load."""
    problem = dial_problem(adapter)
    if problem:
        raise ModelError(f"vLLM serves plain LoRA and this adapter is more ({problem}): export it merged")
    settings = read_adapter_config(adapter)
    rank = max([settings["r"], *(settings.get("rank_pattern") or {}).values()])
    allowed = next((n for n in VLLM_RANKS if n >= rank), None)
    if allowed is None:
        raise ModelError(f"rank {rank} is above vLLM's largest, {VLLM_RANKS[-1]}: export it merged")
    model = str(resolve_folder(base)) if base == "starter" or Path(base).is_dir() else base
    parts = ["vllm", "serve", model, "--enable-lora", "--max-lora-rank", str(allowed)]
    return shlex.join([*parts, "--lora-modules", f"{name}={adapter.resolve()}"])


def openai_rows(pairs: Sequence[VoicePair]) -> list[dict[str, Any]]:
    """Chat rows for OpenAI's supervised fine-tuning, with the prompts that serving writes; DataError below ten."""
    if len(pairs) < OPENAI_LEAST_ROWS:
        raise DataError(f"{len(pairs)} pairs: OpenAI's fine-tuning takes {OPENAI_LEAST_ROWS} rows or more")
    return [
        {"messages": [*prompts.of_pair(pair).messages, {"role": "assistant", "content": pair.reply}]} for pair in pairs
    ]
