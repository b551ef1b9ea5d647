"""Boosted trees from JSON: evaluated with numpy alone, so that a shipped model needs no training library to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groundtone.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Trees"]


@dataclass(frozen=True, slots=True)
class Trees:
    """A sum of regression trees. All trees stand in one array of nodes: `roots` say where each begins.

    A row goes left where its feature is at most the threshold; a leaf points to itself, so that every row of a batch
    can take the same number of steps.
    """

    features: tuple[str, ...]
    baseline: float
    roots: NDArray[np.int_]
    feature: NDArray[np.int_]
    threshold: NDArray[np.float64]
    children: NDArray[np.int_]  # (nodes, 2)
    value: NDArray[np.float64]
    depth: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Trees:
        """From the JSON that data.detector.train writes. DataError where its nodes do not fit together."""
        import numpy as np

        roots: list[int] = []
        feature: list[int] = []
        threshold: list[float] = []
        children: list[tuple[int, int]] = []
        value: list[float] = []
        depth = 0
        for tree in data["trees"]:
            base, count = len(feature), len(tree["feature"])
            sizes = {len(tree[name]) for name in ("feature", "threshold", "left", "right", "value")}
            if sizes != {count} or not count or max(tree["feature"]) >= len(data["features"]):
                raise DataError("the detector's trees do not fit together: install groundtone again")
            roots.append(base)
            for n in range(count):
                leaf = tree["feature"][n] < 0
                feature.append(max(0, tree["feature"][n]))
                children.append((base + n, base + n) if leaf else (base + tree["left"][n], base + tree["right"][n]))
            threshold += tree["threshold"]
            value += tree["value"]
            depth = max(depth, _depth(tree, 0))
        return cls(
            tuple(data["features"]),
            float(data["baseline"]),
            np.array(roots, int),
            np.array(feature, int),
            np.array(threshold, float),
            np.array(children, int).reshape(-1, 2),
            np.array(value, float),
            depth,
        )

    def probability(self, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """The logistic of the trees' sum, per row of features."""
        import numpy as np

        x = np.asarray(rows, float).reshape(len(rows), len(self.features))
        at = np.broadcast_to(self.roots, (len(x), len(self.roots))).copy()  # (rows, trees)
        which = np.arange(len(x))[:, None]
        for _ in range(self.depth):
            right = x[which, self.feature[at]] > self.threshold[at]
            at = self.children[at, right.astype(int)]
        return 1 / (1 + np.exp(-(self.baseline + self.value[at].sum(axis=1))))


def _depth(tree: Mapping[str, Any], node: int) -> int:
    if tree["feature"][node] < 0:
        return 0
    return 1 + max(_depth(tree, tree["left"][node]), _depth(tree, tree["right"][node]))
