"""TRL's trainer with a loss head that scores only what is trained.

On CUDA TRL does so itself. Elsewhere it projects every position onto the vocabulary, the prompt's too; for a small
model with short replies that was half of the time. The loss is the same number (tests hold it to TRL's).
"""

from __future__ import annotations

from typing import Any

from tuning.rows import IGNORED


def trainer_class(device: str) -> Any:
    """SFTTrainer on CUDA, elsewhere a subclass whose output head sees the labelled positions alone."""
    from trl import SFTTrainer

    if device.startswith("cuda"):
        return SFTTrainer
    import torch

    class LabelledLossTrainer(SFTTrainer):  # type: ignore[misc]
        """Defined late: its base class needs torch."""

        tokens_seen = 0

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if return_outputs or self.aux_loss_enabled:  # full logits are wanted, or a mixture of experts adds a loss
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"]
            keep = torch.zeros_like(labels, dtype=torch.bool)
            keep[:, :-1] = labels[:, 1:] != IGNORED  # the position before a label predicts it
            head = self.model.get_base_model().get_output_embeddings()
            # What follows the head (scaling, soft caps) works on single logits, so any architecture may be cut here.
            hook = head.register_forward_pre_hook(lambda _, arguments: (arguments[0][keep].unsqueeze(0),))
            try:
                given = {key: value for key, value in inputs.items() if key != "labels"}
                logits = model(**given, use_cache=False).logits[0]
            finally:
                hook.remove()
            wanted = labels[:, 1:][labels[:, 1:] != IGNORED]
            total = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
            if self.model.training:
                mask = inputs.get("attention_mask")
                self.tokens_seen += int(mask.sum()) if mask is not None else labels.numel()
            return total / (len(wanted) if num_items_in_batch is None else num_items_in_batch)

        def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
            logs["num_tokens"] = self.tokens_seen
            super().log(logs, start_time)

    return LabelledLossTrainer
