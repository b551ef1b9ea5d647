"""The evaluation loss as a mean per labelled token, whatever the batches.

transformers averages the means of batches by rows: a batch of one long reply and one short one would weigh other than
the two alone.
"""

from __future__ import annotations

from typing import Any

from tuning.rows import IGNORED

__all__ = ["per_token"]


def per_token(trainer: Any) -> Any:
    """The trainer, dividing the summed loss of all evaluation batches by their labelled tokens.

    Its `compute_loss` gives a batch's mean per labelled token. Of several processes, a row that fills up the last batch
    counts twice.
    """
    import torch

    class PerToken(trainer):  # type: ignore[misc]
        """Defined late: its base class needs torch."""

        def prediction_step(self, model: Any, inputs: Any, *given: Any, **more: Any) -> Any:
            tokens = int((inputs["labels"][:, 1:] != IGNORED).sum())
            loss, logits, labels = super().prediction_step(model, inputs, *given, **more)
            self._of_batches.append((float(loss) * tokens, tokens))
            return loss, logits, labels

        def evaluation_loop(self, *given: Any, metric_key_prefix: str = "eval", **more: Any) -> Any:
            self._of_batches: list[tuple[float, int]] = []
            found = super().evaluation_loop(*given, metric_key_prefix=metric_key_prefix, **more)
            sums = [sum(column) for column in zip(*self._of_batches, strict=True)]
            total, tokens = self.accelerator.reduce(torch.tensor(sums, device=self.args.device)).tolist()
            found.metrics[f"{metric_key_prefix}_loss"] = total / tokens
            return found

    return PerToken
