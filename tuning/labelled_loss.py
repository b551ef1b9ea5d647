"""TRL's trainer with a loss head that scores only what is trained, and with the divergence from the base on request.

On CUDA TRL scores so itself. Elsewhere it projects every position onto the vocabulary, the prompt's too; for a small
model with short replies that was half of the time. The loss is the same number (tests hold it to TRL's).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from groundtone.errors import ModelError
from tuning.held_loss import per_token
from tuning.kl import KlTerm, divergence, positions_under, require_adapter
from tuning.rows import IGNORED
from tuning.shared_prompts import ROW_TOKENS


def trainer_class(device: str, kl: KlTerm | None = None, *, shared: bool = False) -> Any:
    """SFTTrainer, elsewhere than on CUDA and with `kl` with an output head that sees the labelled positions alone.

    So also with `shared`, for batches that `SharedPrompts` made. What the loss is then, `LabelledLoss` says.
    """
    from trl import SFTTrainer

    evaluating = per_token(SFTTrainer)
    if device.startswith("cuda") and kl is None and not shared:
        return evaluating

    class LabelledLossTrainer(evaluating):  # type: ignore[misc, valid-type]
        """Defined late: its base class needs torch."""

        def __init__(self, *arguments: Any, **given: Any) -> None:
            super().__init__(*arguments, **given)
            if kl is not None:
                require_adapter(self.model)
                if self.aux_loss_enabled:
                    raise ModelError("tuning.kl is not there for mixtures of experts: set it to 0")
                if self.is_fsdp_enabled:  # only some processes ask the base, and FSDP gathers weights from all
                    raise ModelError("tuning.kl is not there where FSDP splits the model up: set it to 0, or use DDP")
            self.labelled = LabelledLoss(self.model, kl)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            row_tokens = inputs.pop(ROW_TOKENS, None)
            if return_outputs or self.aux_loss_enabled:  # full logits are wanted, or a mixture of experts adds a loss
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if self.model.training:
                seen = _tokens(inputs) if row_tokens is None else row_tokens
                self.labelled.tokens += int(self.accelerator.reduce(seen))  # of all processes
            total, labelled = self.labelled.total(model, inputs)
            loss = total / (labelled if num_items_in_batch is None else num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # gradients will be averaged over them
            return loss

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            super().log(self.labelled.figures(logs), start_time)

    return LabelledLossTrainer


class LabelledLoss:
    """Cross entropy over the labelled tokens of a model's batches, and what was seen of them.

    With `kl` the training loss is the mean over labelled tokens of cross entropy + weight x divergence, the latter 0
    outside the term's rows, however a step is cut into passes. The evaluation loss has no such term. The log says
    "kl", the mean divergence per token of those rows since the line before.
    """

    def __init__(self, inside: Any, kl: KlTerm | None) -> None:
        self.tokens = 0  # read in training, padding left out
        self._inside = inside  # the model without what a launcher wraps around it
        self._kl = kl
        self._diverged, self._diverged_tokens = 0.0, 0

    def total(self, model: Any, inputs: Mapping[str, Any]) -> tuple[Any, int]:
        """The summed loss of a batch, and the number of its labelled tokens."""
        import torch

        labels = inputs["labels"]
        keep = torch.zeros_like(labels, dtype=torch.bool)
        keep[:, :-1] = labels[:, 1:] != IGNORED  # the position before a label predicts it
        given = {key: value for key, value in inputs.items() if key != "labels"}
        with self._head_sees(keep):
            logits = model(**given, use_cache=False).logits[0]
        wanted = labels[:, 1:][labels[:, 1:] != IGNORED]
        total = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
        if self._inside.training and self._kl is not None:
            total = total + self._kl.weight * self._divergence(self._kl, inputs, logits, keep)
        return total, len(wanted)

    def figures(self, logs: dict[str, float]) -> dict[str, float]:
        """The trainer's line with the tokens so far and, beside a loss, the divergence since the line before."""
        logs["num_tokens"] = self.tokens
        if self._diverged_tokens and "loss" in logs:
            logs["kl"] = self._diverged / self._diverged_tokens
            self._diverged, self._diverged_tokens = 0.0, 0
        return logs

    @contextmanager
    def _head_sees(self, keep: Any) -> Iterator[None]:
        """The output head is given the positions in `keep` (rows, positions) alone, as one row.

        What follows the head (scaling, soft caps) works on single logits, so any architecture may be cut here.
        """
        from peft import PeftModel

        plain = self._inside.get_base_model() if isinstance(self._inside, PeftModel) else self._inside
        head = plain.get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, arguments: (arguments[0][keep].unsqueeze(0),))
        try:
            yield
        finally:
            hook.remove()

    def _divergence(self, kl: KlTerm, inputs: Mapping[str, Any], logits: Any, keep: Any) -> Any:
        """Summed over the term's positions of this batch; the base reads only the lines that hold some.

        It is asked without a launcher's wrapper, whose forward waits for every process: some have no such line.
        """
        import torch

        under = positions_under(kl, inputs)
        lines = under.any(dim=1)
        if not bool(lines.any()):
            return logits.new_zeros((), dtype=torch.float32)
        some = {
            key: value[lines] if torch.is_tensor(value) and value.shape[:1] == lines.shape else value
            for key, value in inputs.items()
            if key != "labels"
        }
        self._inside.eval()  # a teacher drops nothing out
        try:
            with torch.no_grad(), self._inside.disable_adapter(), self._head_sees(under[lines]):
                base = self._inside(**some, use_cache=False).logits[0]
        finally:
            self._inside.train()
        total = divergence(base, logits[under[keep]])
        self._diverged += float(total.detach())
        self._diverged_tokens += len(base)
        return total


def _tokens(inputs: Mapping[str, Any]) -> Any:
    """How many tokens a batch has without its padding, as a tensor."""
    import torch

    mask, labels = inputs.get("attention_mask"), inputs["labels"]
    return mask.sum() if mask is not None else torch.tensor(labels.numel(), device=labels.device)
