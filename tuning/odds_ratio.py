"""ORPO: the likelihood of the chosen reply, with its odds held above those of the rejected one; no reference model.

Hong et al. 2024 (arXiv:2403.07691), equations 4 to 7. TRL keeps its own in an experimental corner, which renders the
rows anew, adds an end token that serving never shows and takes the likelihood of the prompt too. Here the rows, the
fused loss head and the figures are those of TRL's DPO trainer, and the likelihood is the reply's, as in the paper.
"""

from __future__ import annotations

from typing import Any

_LEAST = 1e-6  # a reply of mean log-probability 0 has infinite odds


def odds_ratio_trainer() -> Any:
    """A DPOTrainer with ORPO's loss; its `beta` is the paper's lambda."""
    import torch
    from trl import DPOTrainer

    class OddsRatioTrainer(DPOTrainer):  # type: ignore[misc]
        """Defined late: its base class needs torch."""

        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            raise AssertionError("ORPO compares with no reference")

        def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
            mask = inputs["completion_mask"]
            labels = inputs["input_ids"].masked_fill(mask == 0, -100)
            given = {key: inputs[key] for key in ("input_ids", "attention_mask")}
            outputs = model(**given, labels=labels, use_cache=False, fused_lm_head=True)
            tokens = mask[:, 1:].sum(dim=1)
            totals = outputs.log_probs.sum(dim=1)
            chosen, rejected = (totals / tokens).chunk(2)
            loss = odds_ratio_loss(chosen, rejected, beta=self.beta)
            likelihood = -totals.chunk(2)[0].sum() / tokens.chunk(2)[0].sum()
            with torch.no_grad():
                kept = self._metrics["train" if self.model.training else "eval"]
                kept["rewards/chosen"].append((self.beta * chosen).mean().item())
                kept["rewards/rejected"].append((self.beta * rejected).mean().item())
                kept["rewards/margins"].append((self.beta * (chosen - rejected)).mean().item())
                kept["rewards/accuracies"].append((chosen > rejected).float().mean().item())
                kept["logps/chosen"].append(totals.chunk(2)[0].mean().item())
                if self.model.training:
                    self._total_train_tokens += int(inputs["attention_mask"].sum())
                kept["num_tokens"] = [self._total_train_tokens]
            total = likelihood + loss
            return (total, outputs) if return_outputs else total

    return OddsRatioTrainer


def odds_ratio_loss(chosen: Any, rejected: Any, *, beta: float) -> Any:
    """`beta` x -log sigmoid(log odds(chosen) - log odds(rejected)), the mean over rows.

    `chosen` and `rejected` are mean log-probabilities per token, shape (rows,), <= 0; odds(p) = p / (1 - p).
    """
    import torch

    one, other = (logp.float().clamp(max=-_LEAST) for logp in (chosen, rejected))
    log_odds = (one - other) - (torch.log(-torch.expm1(one)) - torch.log(-torch.expm1(other)))
    return -beta * torch.nn.functional.logsigmoid(log_odds).mean()
