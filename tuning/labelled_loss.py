"""TRL's trainer with a loss head that scores only what is trained, and with the divergence from the base on request.

On CUDA TRL scores so itself. Elsewhere it projects every position onto the vocabulary, the prompt's too; for a small
model with short replies that was half of the time. The loss is the same number (tests hold it to TRL's).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from groundtone.errors import ModelError
from tuning.kl import KlTerm, divergence, positions_under, require_adapter
from tuning.rows import IGNORED
from tuning.shared_prompts import ROW_TOKENS


def trainer_class(device: str, kl: KlTerm | None = None, *, shared: bool = False) -> Any:
    """SFTTrainer on CUDA, elsewhere and with `kl` a subclass whose output head sees the labelled positions alone.

    So also with `shared`, for batches that `SharedPrompts` made.

    With `kl` the training loss is the mean over labelled tokens of cross entropy + weight x divergence, the latter 0
    outside the term's rows, however a step is cut into passes. The evaluation loss has no such term. The log says
    "kl", the mean divergence per token of those rows since the line before.
    """
    from peft import PeftModel
    from trl import SFTTrainer

    if device.startswith("cuda") and kl is None and not shared:
        return SFTTrainer
    import torch

    class LabelledLossTrainer(SFTTrainer):  # type: ignore[misc]
        """Defined late: its base class needs torch."""

        tokens_seen = 0
        diverged, diverged_tokens = 0.0, 0

        def __init__(self, *arguments: Any, **given: Any) -> None:
            super().__init__(*arguments, **given)
            if kl is not None:
                require_adapter(self.model)
                if self.aux_loss_enabled:
                    raise ModelError("tuning.kl is not there for mixtures of experts: set it to 0")

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            row_tokens = inputs.pop(ROW_TOKENS, None)
            if return_outputs or self.aux_loss_enabled:  # full logits are wanted, or a mixture of experts adds a loss
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"]
            keep = torch.zeros_like(labels, dtype=torch.bool)
            keep[:, :-1] = labels[:, 1:] != IGNORED  # the position before a label predicts it
            given = {key: value for key, value in inputs.items() if key != "labels"}
            with self._head_sees(keep):
                logits = model(**given, use_cache=False).logits[0]
            wanted = labels[:, 1:][labels[:, 1:] != IGNORED]
            total = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
            if self.model.training:
                mask = inputs.get("attention_mask")
                seen = mask.sum() if mask is not None else torch.tensor(labels.numel(), device=labels.device)
                seen = seen if row_tokens is None else row_tokens
                self.tokens_seen += int(self.accelerator.reduce(seen))  # of all processes
                if kl is not None:
                    total = total + kl.weight * self._divergence(model, inputs, logits, keep)
            loss = total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)
            if self.args.average_tokens_across_devices and num_items_in_batch is not None:
                loss = loss * self.accelerator.num_processes  # gradients will be averaged over them
            return loss

        @contextmanager
        def _head_sees(self, keep: Any) -> Iterator[None]:
            """The output head is given the positions in `keep` (rows, positions) alone, as one row.

            What follows the head (scaling, soft caps) works on single logits, so any architecture may be cut here.
            """
            inside = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
            head = inside.get_output_embeddings()
            hook = head.register_forward_pre_hook(lambda _, arguments: (arguments[0][keep].unsqueeze(0),))
            try:
                yield
            finally:
                hook.remove()

        def _divergence(self, model: Any, inputs: Mapping[str, Any], logits: Any, keep: Any) -> Any:
            """Summed over the term's positions of this batch; the base reads only the lines that hold some."""
            assert kl is not None
            under = positions_under(kl, inputs)
            lines = under.any(dim=1)
            if not bool(lines.any()):
                return logits.new_zeros((), dtype=torch.float32)
            some = {
                key: value[lines] if torch.is_tensor(value) and value.shape[:1] == lines.shape else value
                for key, value in inputs.items()
                if key != "labels"
            }
            model.eval()  # a teacher drops nothing out
            try:
                with torch.no_grad(), self.model.disable_adapter(), self._head_sees(under[lines]):
                    base = model(**some, use_cache=False).logits[0]
            finally:
                model.train()
            total = divergence(base, logits[under[keep]])
            self.diverged += float(total.detach())
            self.diverged_tokens += len(base)
            return total

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            logs["num_tokens"] = self.tokens_seen
            if self.diverged_tokens and "loss" in logs:
                logs["kl"] = self.diverged / self.diverged_tokens
                self.diverged, self.diverged_tokens = 0.0, 0
            super().log(logs, start_time)

    return LabelledLossTrainer
