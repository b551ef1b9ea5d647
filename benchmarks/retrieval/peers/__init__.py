"""One file per framework, each run in its own environment; harness.py is what they share (standard library only)."""
