"""RAGAS as most projects still call it: `ragas.evaluate` over a data set, with a model of LangChain."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.evaluation.peers.harness import Endpoint, Item, Outcome, main, outcome


class RagasEvaluate:
    """NaN stands for what failed, as it does in its result."""

    def load(self, endpoint: Endpoint) -> None:
        """Imports and the client."""
        from langchain_openai import ChatOpenAI
        from ragas import evaluate
        from ragas.llms import LangchainLLMWrapper
        from ragas.metrics import Faithfulness

        model = ChatOpenAI(model=endpoint.model, base_url=endpoint.url, api_key="none", timeout=endpoint.timeout_s)
        self._evaluate, self._metric = evaluate, Faithfulness(llm=LangchainLLMWrapper(model))

    def score(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item."""
        from ragas import EvaluationDataset

        rows = [
            {"user_input": item.question, "response": item.answer, "retrieved_contexts": list(item.contexts)}
            for item in items
        ]
        result = self._evaluate(EvaluationDataset.from_list(rows), metrics=[self._metric], show_progress=False)
        return [outcome(score["faithfulness"]) for score in result.scores]


if __name__ == "__main__":
    main(RagasEvaluate())
