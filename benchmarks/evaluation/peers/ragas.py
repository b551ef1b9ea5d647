"""RAGAS: its Faithfulness of today (`ragas.metrics.collections`) with a client of OpenAI, 16 answers at once.

`abatch_score` would end at the first failure, so every answer is scored by `ascore`, as its documentation shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from benchmarks.evaluation.peers.harness import Endpoint, Item, Outcome, main, outcome

_AT_ONCE = 16  # RunConfig.max_workers, its default


class Ragas:
    """Statements of the answer in one call, a verdict on each in another."""

    def load(self, endpoint: Endpoint) -> None:
        """Imports and the client."""
        from openai import AsyncOpenAI
        from ragas.llms import llm_factory
        from ragas.metrics.collections import Faithfulness

        client = AsyncOpenAI(base_url=endpoint.url, api_key="none", timeout=endpoint.timeout_s)
        self._metric = Faithfulness(llm=llm_factory(endpoint.model, client=client))

    def score(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome per item."""
        return asyncio.run(self._all(items))

    async def _all(self, items: Sequence[Item]) -> list[Outcome]:
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(item: Item) -> Outcome:
            async with few:
                try:
                    found = await self._metric.ascore(
                        user_input=item.question, response=item.answer, retrieved_contexts=list(item.contexts)
                    )
                except Exception as error:  # whatever it raises is what is counted here
                    return outcome(None, f"{type(error).__name__}: {error}")
                return outcome(found.value)

        return await asyncio.gather(*map(one, items))


if __name__ == "__main__":
    main(Ragas())
