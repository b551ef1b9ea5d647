"""The names of the data report's checks, and what each does when it finds something unless told otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Level = Literal["refuse", "report", "off"]
CheckName = Literal[
    "exact_duplicates",
    "near_duplicates",
    "contradictions",
    "in_heldout",
    "near_heldout",
    "shared_sources",
    "in_evaluation",
    "near_evaluation",
    "too_long",
    "stop_token",
    "few_labels",
    "accounts",
    "personal_data",
    "imbalance",
    "languages",
]
LEVELS: Mapping[CheckName, Level] = {
    "exact_duplicates": "report",
    "near_duplicates": "report",
    "contradictions": "refuse",
    "in_heldout": "refuse",
    "near_heldout": "report",
    "shared_sources": "report",
    "in_evaluation": "refuse",
    "near_evaluation": "report",
    "too_long": "refuse",
    "stop_token": "refuse",
    "few_labels": "report",
    "accounts": "refuse",
    "personal_data": "report",
    "imbalance": "report",
    "languages": "report",
}
