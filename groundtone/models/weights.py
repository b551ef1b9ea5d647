"""Finding and loading weights: ids to folders, folders to a model and its tokenizer. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from groundtone.errors import MissingExtraError, ModelError, first_line
from groundtone.models.device import pick_device, pick_dtype
from groundtone.models.quiet import quiet

STARTER_VARIABLE = "GROUNDTONE_STARTER"
_COPIES = ["original/*", "onnx/*", "consolidated*"]  # of the same weights, for other programs


@dataclass(frozen=True, slots=True)
class Base:
    """A causal language model as it was loaded, before any adapter."""

    id: str  # as it was asked for
    folder: Path  # where its files lie
    model: Any  # transformers.PreTrainedModel in eval mode
    tokenizer: Any  # transformers.PreTrainedTokenizerBase with a pad token
    device: str
    dtype: str
    context_tokens: int | None  # None: the model names no limit


def starter_folder() -> Path:
    """The folder of the small offline model: $GROUNDTONE_STARTER, or data/starter beside the sources."""
    folder = _starter_place()
    if not has_starter():
        raise ModelError(
            f"the starter model is not at {folder}: name another model in model.id (extractive needs no weights), run "
            f"from a checkout, or set {STARTER_VARIABLE} to its folder"
        )
    return folder


def has_starter() -> bool:
    """Whether the starter's weights are on this machine; an installed package has none."""
    return (_starter_place() / "config.json").exists()


def _starter_place() -> Path:
    named = os.environ.get(STARTER_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[2] / "data" / "starter"


def load_base(id_or_path: str, *, dtype: str = "auto", device: str = "auto", quantised: bool = False) -> Base:
    """Loads a causal language model and its tokenizer; raises ModelError that says what is missing.

    Only safetensors weights are read, and no code that a repository brings along is run. `quantised` loads the weights
    in 4 bits (NF4, arXiv:2305.14314), which needs CUDA; raises MissingExtraError without its package.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    place = pick_device(device)
    four_bits = _four_bits(place.type) if quantised else None
    folder = resolve_folder(id_or_path)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        precision = pick_dtype(dtype, place, parameters=_count_parameters(config))
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        with quiet():
            model, told = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=precision,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **({"quantization_config": four_bits, "device_map": {"": str(place)}} if quantised else {}),
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = first_line(error)
        raise ModelError(
            f"model {id_or_path!r} could not be loaded from {folder}: {first}; it must be a causal language model with "
            "a tokenizer and .safetensors weights"
        ) from error
    refuse_random(told["missing_keys"], id_or_path, folder)
    ensure_pad(tokenizer, config)
    stops = model.generation_config.eos_token_id
    # Greedy and nothing else: a stored repetition penalty or temperature would change what "greedy" means.
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id)
    if not quantised:  # those lie where they belong, and cannot be moved
        model.to(place)
    model.eval().requires_grad_(False)
    limit = _context_tokens(config, tokenizer)
    return Base(id_or_path, folder, model, tokenizer, str(place), str(precision).removeprefix("torch."), limit)


def ensure_pad(tokenizer: Any, config: Any) -> None:
    """Has the tokenizer pad with a token that the model knows: some name none, or one beyond the model's vocabulary."""
    pad = tokenizer.pad_token_id
    if pad is None or pad >= config.get_text_config().vocab_size:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)


def refuse_random(missing: Collection[str], id_or_path: str, folder: Path) -> None:
    """Raises ModelError where weights are `missing` from a checkpoint: transformers starts them at random."""
    if missing:
        raise ModelError(
            f"model {id_or_path!r} in {folder} lacks {len(missing)} of the weights that its config.json describes "
            f"(first: {min(missing)}): copy or download it again; it must be a whole model of the kind that is needed"
        )


def _four_bits(device_type: str) -> Any:
    """How bitsandbytes stores weights for QLoRA: NF4, its scales quantised too, computing in bfloat16."""
    from importlib.util import find_spec

    if device_type != "cuda":
        raise ModelError(
            f"a base in 4 bits (QLoRA) needs a CUDA device, this is {device_type}: set tuning.lora.quantised to false"
        )
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("a base in 4 bits (QLoRA)", "qlora")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A model's tokenizer without its weights, and how many tokens the model reads; None where it names no limit."""

    tokenizer: Any
    context_tokens: int | None


def load_tokenizer(id_or_path: str) -> LoadedTokenizer:
    """Only the tokenizer of a causal language model. Raises ModelError where there is none."""
    from transformers import AutoConfig, AutoTokenizer

    folder = resolve_folder(id_or_path)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        first = first_line(error)
        raise ModelError(f"the tokenizer of {id_or_path!r} could not be loaded from {folder}: {first}") from error
    return LoadedTokenizer(tokenizer, _context_tokens(config, tokenizer))


def resolve_folder(id_or_path: str) -> Path:
    """The local folder of a model: the path itself, the starter's, or the hub's snapshot (downloaded when online)."""
    if id_or_path == "starter":
        return starter_folder()
    path = Path(id_or_path).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path} holds no config.json: name the folder that holds the model's files")
        return path.resolve()
    if path.is_absolute() or id_or_path.startswith((".", "~")) or id_or_path.count("/") > 1:
        raise ModelError(f"model folder {id_or_path!r} does not exist: check the path, or give a Hugging Face id")
    return _hub_snapshot(id_or_path)


def _hub_snapshot(repo: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
    try:
        return Path(snapshot_download(repo, allow_patterns=wanted, ignore_patterns=_COPIES))
    except HFValidationError as error:
        raise ModelError(f"{repo!r} is neither a folder nor a Hugging Face id: check model.id") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"model {repo!r} was not found locally nor on the hub (or it is private): check the id, or sign in with "
            "`hf auth login`"
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"model {repo!r} was not found locally and the hub cannot be reached: give the path of a folder, or run "
            "once online so that it is downloaded"
        ) from error


def count_parameters(id_or_path: str) -> int:
    """How many parameters a model has, by its configuration: no weights are loaded."""
    from transformers import AutoConfig

    folder = resolve_folder(id_or_path)
    try:
        return _count_parameters(AutoConfig.from_pretrained(folder, trust_remote_code=False))
    except (OSError, ValueError, KeyError) as error:
        first = first_line(error)
        raise ModelError(
            f"model {id_or_path!r} cannot be understood ({first}): it must be a causal language model"
        ) from error


def _count_parameters(config: Any) -> int:
    """How many parameters the configuration describes, without allocating them."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def _context_tokens(config: Any, tokenizer: Any) -> int | None:
    text_config = config.get_text_config()
    key = "max_position_embeddings"
    named = text_config.to_dict().get(text_config.attribute_map.get(key, key))  # GPT-2 calls it n_positions
    known = [n for n in (named, tokenizer.model_max_length) if isinstance(n, int) and 0 < n < 10_000_000]
    return min(known) if known else None


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the names and hashes of a model folder's .safetensors files; an unchanged file is read once."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors weights: groundtone reads no pickled ones")
    total = hashlib.sha256()
    for file in files:
        stat = file.stat()
        total.update(f"{file.name}:{_file_sha256(file, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@cache
def _file_sha256(file: Path, size_bytes: int, modified_ns: int) -> str:
    """The size and the time are part of the cache's key: a changed file is read again."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
