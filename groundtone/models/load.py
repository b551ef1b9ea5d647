"""From a model id to a Generator: the one visible table of what an id may be."""

from __future__ import annotations

import json
import re
from pathlib import Path

from groundtone.errors import DataError, ModelError
from groundtone.types import Generator

_PROVIDER = re.compile(r"[a-z][a-z0-9_]+:[^\\/]")  # two letters or more: "C:\models" is a folder


def load_generator(
    id: str = "starter",
    *,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    max_new_tokens: int = 96,
    batch_size: int = 16,
    base_url: str | None = None,
    allow_template_mismatch: bool = False,
) -> Generator:
    """The generator that `id` names; takes ModelConfig's fields (`max_new_tokens` is the caller's, per call).

    extractive            quotes the best sentence, no weights
    scripted:TEXT         always replies TEXT; scripted:@FILE reads a JSON object {question: reply}
    provider:model        a chat model through LangChain, e.g. openai:gpt-5-mini
    anything else         local weights: `starter`, a folder or a Hugging Face id
    """
    weightless = id == "extractive" or id.startswith("scripted:") or _PROVIDER.match(id) is not None
    if weightless and adapter is not None and not Path(id).exists():
        raise ModelError(f"model {id!r} cannot carry the adapter {str(adapter)!r}: remove model.adapter or name a base")
    if id == "extractive":
        from groundtone.models.extractive import ExtractiveModel

        return ExtractiveModel()
    if id.startswith("scripted:"):
        from groundtone.models.scripted import ScriptedModel

        return ScriptedModel(_script(id.removeprefix("scripted:")))
    if weightless and not Path(id).exists():
        from groundtone.models.chat import ChatModel

        return ChatModel(id, base_url=base_url, max_concurrency=batch_size)
    from groundtone.models.generate import LocalModel

    return LocalModel.load(
        id,
        adapter=Path(adapter) if adapter is not None else None,
        dtype=dtype,
        device=device,
        batch_size=batch_size,
        allow_template_mismatch=allow_template_mismatch,
    )


def _script(text: str) -> dict[str, str] | str:
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        script = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no script could be read ({error}); it holds one JSON object of question: reply"
        ) from error
    if not isinstance(script, dict) or not all(isinstance(v, str) for v in script.values()):
        raise DataError(f"{path}: a script is one JSON object whose values are replies")
    return script
