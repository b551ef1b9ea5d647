"""Colours and dashes of charts: readable on both themes and apart for every common colour blindness."""

from __future__ import annotations

__all__ = ["DASHES", "GREY", "PALETTE"]

GREY = "#8a94a3"  # readable on both themes
# Okabe and Ito's colours without yellow, which vanishes on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ([1, 0], [8, 3], [3, 3], [10, 3, 2, 3], [2, 2], [6, 2, 2, 2])
