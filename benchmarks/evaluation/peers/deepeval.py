"""DeepEval: `evaluate` over test cases with its FaithfulnessMetric and its model for local endpoints."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evaluation.peers.harness import Endpoint, Item, Outcome, main, outcome


class DeepEval:
    """Truths of the passages, claims of the answer, a verdict on each claim, and a reason: four calls."""

    def load(self, endpoint: Endpoint) -> None:
        """Imports and the client."""
        from deepeval.metrics import FaithfulnessMetric
        from deepeval.models import LocalModel

        model = LocalModel(endpoint.model, base_url=endpoint.url, api_key="none", timeout=endpoint.timeout_s)
        self._metric = FaithfulnessMetric(model=model)

    def score(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item."""
        from deepeval import evaluate
        from deepeval.evaluate import DisplayConfig, ErrorConfig
        from deepeval.test_case import LLMTestCase

        cases = [
            LLMTestCase(
                name=item.id, input=item.question, actual_output=item.answer, retrieval_context=list(item.contexts)
            )
            for item in items
        ]
        result = evaluate(
            cases,
            [self._metric],
            display_config=DisplayConfig(show_indicator=False, print_results=False),
            error_config=ErrorConfig(ignore_errors=True),
        )
        found = {test.name: (test.metrics_data or [None])[0] for test in result.test_results}
        return [
            outcome(data.score, data.error or "") if (data := found.get(item.id)) else outcome(None, "no result")
            for item in items
        ]


if __name__ == "__main__":
    main(DeepEval())
