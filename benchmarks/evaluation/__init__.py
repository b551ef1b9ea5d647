"""Evaluation side by side: speed, claims per minute, and what LLM-judged tools do with the same answers."""
