"""One file per tool, each run in its own environment; harness.py is what they share (standard library only)."""
