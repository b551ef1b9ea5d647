"""The `tuning` section of groundtone.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tuning.checks import CheckName, Level
from tuning.encoder_config import EncoderSettings
from tuning.presets import PresetName, with_preset


class LoraSettings(BaseModel):
    """The shape of the adapter."""

    model_config = ConfigDict(extra="forbid")

    rank: int = Field(8, ge=1, description="Rank of the update; 8 to 16 is enough for a voice.")
    alpha: int = Field(16, ge=1, description="The update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout on the adapter's input.")
    targets: Literal["mlp", "all-linear"] | list[str] = Field(
        "mlp",
        description="`mlp` (forgets least), `all-linear` (for very small models), or names of the layers to adapt.",
    )
    variant: Literal["plain", "rslora", "dora", "pissa"] = Field(
        "plain",
        description="`rslora` scales by alpha / sqrt(rank), for high ranks; `dora` learns direction and length apart; "
        "`pissa` starts from the largest singular values and is stored as a plain adapter of twice the rank.",
    )
    layers: list[int] | None = Field(
        None, description="Numbers of the layers that learn, from 0; -1 is the last. None: all of them."
    )
    extra_modules: list[str] = Field(
        default_factory=list,
        description="Modules to train and store whole beside the adapter, such as embed_tokens or lm_head.",
    )
    tokens: list[str | int] = Field(
        default_factory=list,
        description="Tokens whose embeddings are trained: as the tokenizer spells them, or by number.",
    )
    quantised: bool = Field(
        False, description="QLoRA: hold the frozen base in 4 bits. Needs CUDA and the extra `qlora`."
    )


class ColumnSettings(BaseModel):
    """Which column of the data holds what; what is not named is guessed, and the guess is printed."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | list[str] | None = Field(None, description="The prompt; several columns are joined by blank lines.")
    reply: str | None = Field(None, description="The reply in the house voice.")
    context: str | None = Field(None, description="The passages that the reply may use: a list, or one text.")
    source: str | None = Field(None, description="What a row comes from; held-out rows are split off by it.")
    tags: str | None = Field(None, description="Labels of a row, counted in the data report.")
    messages: str | None = Field(None, description="A conversation; the loss is taken on its last reply.")
    chosen: str | None = Field(None, description="The preferred reply of a preference row.")
    rejected: str | None = Field(None, description="The other reply of a preference row.")
    label: str | None = Field(
        None,
        description="Whether a reply was wanted: true or false, 1 or 0, up or down; of classify: the label, or a list.",
    )
    text: str | None = Field(None, description="The text that an encoder judges or labels, or learns words from.")
    text_pair: str | None = Field(None, description="The second text of a pair that is judged (method classify).")
    spans: str | None = Field(
        None,
        description="Spans of the text, objects with start, end and label (method tokens); or `tokens` and `tags`.",
    )
    tokens: str | None = Field(None, description="A list of words, with their BIO tags in `tags` (method tokens).")


class RaftSettings(BaseModel):
    """Rows rebuilt as the assistant shows them: passages of the documents around the right one."""

    model_config = ConfigDict(extra="forbid")

    share: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Share of the rows with passages that are rebuilt with what the project's own search finds; needs "
        "an index.",
    )
    no_gold: float = Field(
        0.15,
        ge=0.0,
        le=1.0,
        description="Share of the rebuilt answers that lose the passage they cite and refuse in the house voice.",
    )
    distractors: int | None = Field(
        None, ge=0, description="Most passages beside the cited ones; none: as many as the assistant shows."
    )
    seed: int | None = Field(None, ge=0, description="Which rows are drawn; none: tuning.seed.")


class GuardSettings(BaseModel):
    """General suites measured while training, and a stop when one leaves its margin."""

    model_config = ConfigDict(extra="forbid")

    every: str | None = Field(
        None,
        pattern=r"^(\d+(\.\d+)? epochs?|[1-9]\d* steps?)$",
        description="How often general suites are measured, such as `0.25 epochs` or `50 steps`; none: never.",
    )
    suites: list[str] = Field(default_factory=list, description="Suites of eval.general to watch; empty: all.")
    items: int = Field(24, ge=2, description="Items of each suite, spread over its file.")
    margin: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="How far a suite may fall, as a difference of shares; none: eval.margins.general.",
    )
    stops: Literal["forgotten", "not retained"] = Field(
        "forgotten",
        description="What stops: `forgotten`, a suite that fell by more than its margin beyond chance; `not retained`, "
        "already one whose fall by the margin cannot be ruled out (needs many items).",
    )


class PreferenceSettings(BaseModel):
    """How preferences and thumbs become a loss."""

    model_config = ConfigDict(extra="forbid")

    beta: float = Field(
        0.1,
        gt=0,
        description="How strongly dpo and kto hold to the base; for orpo, the weight of the odds ratio.",
    )
    loss: list[str] = Field(
        default_factory=list,
        description="TRL's losses for dpo, summed, such as sigmoid and sft; for kto one of kto and apo_zero_unpaired. "
        "Empty: the method's own.",
    )
    loss_weights: list[float] = Field(default_factory=list, description="Weights of these losses; empty: 1 each.")


class ReinforceSettings(BaseModel):
    """How replies are drawn and compared in grpo and rloo."""

    model_config = ConfigDict(extra="forbid")

    generations: int = Field(
        8, ge=2, description="Replies per prompt; batch_size x accumulate must be a multiple of it."
    )
    max_new_tokens: int = Field(96, ge=1, description="Longest reply in tokens.")
    temperature: float = Field(1.0, gt=0, description="Of drawing; too low, and all replies to a prompt are alike.")
    beta: float = Field(0.0, ge=0, description="Weight of the divergence from the base; 0: none is computed.")


class RewardWeights(BaseModel):
    """What grpo and rloo reward; 0 leaves a reward out."""

    model_config = ConfigDict(extra="forbid")

    format: float = Field(1.0, description="The checkable rules of eval.style; fewer broken ones are better.")
    tone: float = Field(1.0, description="Share of the tone's features inside the bands of the training replies.")
    support: float = Field(2.0, description="Share of the claims that the row's passages support.")
    refusal: float = Field(1.0, description="Refusing exactly where the row's own reply refuses.")
    model: str | None = Field(None, description="A run of method reward, whose model rewards too.")
    model_weight: float = Field(1.0, description="The weight of that model's reward.")


class TuningConfig(BaseModel):
    """How the voice is tuned."""

    model_config = ConfigDict(extra="forbid")

    preset: PresetName | None = Field(
        None, description="Defaults for a task, from tuning/presets.py; whatever is set beside it wins."
    )
    method: Literal[
        "sft", "pretrain", "span", "dpo", "orpo", "kto", "reward", "grpo", "rloo", "classify", "tokens", "mlm"
    ] = Field(
        "sft",
        description="`sft`: supervised tuning on pairs of prompt and reply. `pretrain`: goes on reading text "
        "without labels, such as a domain's documents. `span`: an encoder becomes a reader that "
        "points at the answer in a passage, or at none. `dpo`, `orpo`: the voice learns which of two replies people "
        "preferred. `kto`: from thumbs up and down. `reward`: a model of what people prefer. `grpo`, `rloo`: the voice "
        "writes and learns from `tuning.rewards`. Of encoders: `classify` labels texts or pairs of texts, `tokens` "
        "finds labelled spans, `mlm` learns the words of documents without labels.",
    )
    data: str = Field(
        "data/voice/train.jsonl",
        description="Voice pairs to train on: JSON lines, CSV, Parquet, a dataset's folder, or hf:org/name@split.",
    )
    columns: ColumnSettings = Field(default_factory=lambda: ColumnSettings(), description="Which column holds what.")
    heldout: Annotated[float, Field(gt=0.0, lt=1.0)] | str | None = Field(
        None,
        description="Voice pairs for the evaluation loss, none of them trained on: a file, or a share of the data such "
        "as 0.2, split off by source.",
    )
    data_checks: Literal["refuse", "report"] = Field(
        "refuse", description="Whether findings of the data report may stop the training, or are only written down."
    )
    check_levels: dict[CheckName, Level] = Field(
        default_factory=dict, description="Levels of single checks: refuse, report or off."
    )
    facts: Literal["report", "refuse", "mask", "randomise", "off"] = Field(
        "report",
        description="What to do with values in replies that the row's own passages do not hold, and which tuning would "
        "memorise: `report` says so, `refuse` stops, `mask` leaves their sentences out, `randomise` does so and "
        "exchanges the values that passages and reply share.",
    )
    facts_share: float = Field(
        0.02, ge=0.0, le=1.0, description="Largest share of rows that may teach a fact before it is refused."
    )
    lora: LoraSettings | None = Field(
        default_factory=lambda: LoraSettings(),
        description="The shape of the adapter; null tunes every weight and stores a whole model.",
    )
    continue_from: str | None = Field(
        None,
        description="A tuning run, or an adapter's folder, whose weights the training starts from, for data that "
        "arrived later; its base, prompts and shape stay. None: a fresh adapter.",
    )
    epochs: int = Field(3, ge=1, description="Passes over the data; a checkpoint is kept after each.")
    learning_rate: float = Field(
        2e-4, gt=0, description="Peak rate; 1e-4 to 2e-4 for usual models, 3e-3 for the starter."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field("cosine", description="How the rate falls after warm-up.")
    warmup: float = Field(0.03, ge=0.0, lt=1.0, description="Share of the steps in which the rate rises.")
    batch_size: int = Field(8, ge=1, description="Rows per forward pass.")
    accumulate: int = Field(1, ge=1, description="Forward passes per optimizer step.")
    max_length: int | None = Field(
        None, ge=8, description="Longest row in tokens; none: as long as the data needs, at most the model's context."
    )
    over_length: Literal["refuse", "drop", "cut"] = Field(
        "refuse",
        description="What happens to a row that is too long: stop and name it, or leave it out and report it; encoders "
        "may also learn from what fits (`cut`).",
    )
    encoder: EncoderSettings = Field(
        default_factory=lambda: EncoderSettings(), description="Labels, windows and masks of encoders."
    )
    replay: float = Field(0.0, ge=0.0, lt=1.0, description="Share of general rows mixed in against forgetting.")
    replay_data: str | None = Field(None, description="General rows to mix in, JSON lines like voice pairs.")
    replay_from: Literal["file", "base"] = Field(
        "file",
        description="Who replies in replay rows: `file`, the rows themselves; `base`, the untuned model, asked before "
        "the training (self-distillation), so that only their prompts are needed.",
    )
    kl: float = Field(
        0.0,
        ge=0.0,
        description="Weight of the divergence from the base on labelled tokens, against forgetting; 0: off.",
    )
    kl_rows: Literal["replay", "all"] = Field(
        "replay", description="Where the divergence is taken: on replay rows alone, or on the voice's rows too."
    )
    raft: RaftSettings = Field(default_factory=lambda: RaftSettings(), description="Rows made like the runtime.")
    guard: GuardSettings = Field(default_factory=lambda: GuardSettings(), description="Early stop on forgetting.")
    preference: PreferenceSettings = Field(
        default_factory=lambda: PreferenceSettings(), description="Methods dpo, orpo and kto."
    )
    reinforce: ReinforceSettings = Field(
        default_factory=lambda: ReinforceSettings(), description="Methods grpo and rloo: how replies are drawn."
    )
    rewards: RewardWeights = Field(
        default_factory=lambda: RewardWeights(), description="Methods grpo and rloo: what is rewarded, by weight."
    )
    mixed_precision: bool | None = Field(
        None,
        description="Methods sft and pretrain: multiply in bfloat16 where the weights are float32; faster, and "
        "rounded. null: where the device computes in it.",
    )
    packing: bool = Field(False, description="Fill batches with several rows each; faster when lengths vary much.")
    share_prompts: bool = Field(
        False,
        description="Compute what the prompts of a batch have in common once, and pad nothing: the same numbers in "
        "less time; not with packing or kl.",
    )
    gradient_checkpointing: bool = Field(False, description="Trade time for memory on large models.")
    processes: int = Field(
        1, ge=1, description="How many processes train together, one per GPU; `groundtone tune --launch` says it, too."
    )
    accelerate: str | None = Field(
        None, description="A file that `accelerate config` wrote, for FSDP or several machines. None: plain DDP."
    )
    length_grouped: bool = Field(
        False,
        description="Batches of rows of about one length: less padding where lengths vary and rows are not packed.",
    )
    tensorboard: bool = Field(
        False, description="Write the run's figures for TensorBoard too, into its folder; needs the extra `track`."
    )
    seed: int = Field(0, ge=0, description="Seed of the adapter's start, the order of rows and the replay sample.")
    keep_checkpoints: int = Field(2, ge=1, description="How many of the newest checkpoints stay on disk.")

    @model_validator(mode="before")
    @classmethod
    def _preset_fills_in(cls, value: object) -> object:
        return with_preset(value) if isinstance(value, dict) else value

    @field_validator("facts", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML reads a bare `off` as false."""
        return "off" if value is False else value
