"""Whatever loads weights or talks to a model. Importing it loads nothing heavy: `load_generator` does."""

from __future__ import annotations

from groundtone.models.load import load_generator

__all__ = ["load_generator"]
