"""Cross-validation by object, and the AUC of what it predicts."""

from __future__ import annotations

import numpy as np

from twin import metrics as m
from twin.metrics import Estimate

FOLDS = 5


def folds(group: np.ndarray, label: np.ndarray, seed: int = 0, k: int = FOLDS) -> np.ndarray:
    """(n,) fold of each object, 0 to k - 1; a group is never parted, and groups of each label are dealt out evenly.

    A group with objects of both labels goes with its first.
    """
    fold = np.empty(len(group), int)
    names, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    where = np.empty(len(names), int)
    for value in (0, 1):
        mine = rng.permutation(np.flatnonzero(label[first] == value))
        where[mine] = np.arange(len(mine)) % k
    fold[:] = where[inverse]
    return fold


def ranks(score: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n,) rank within its fold, 0 to 1: scores of differently trained classifiers are not comparable."""
    out = np.empty(len(score))
    for value in np.unique(fold):
        inside = fold == value
        order = np.argsort(np.argsort(score[inside], kind="stable"), kind="stable")
        out[inside] = (order + 0.5) / inside.sum()
    return out


def auc_by_object(score: np.ndarray, label: np.ndarray, group: np.ndarray, repeats: int = 1000) -> Estimate:
    """AUC with the bootstrap interval over groups."""
    return m.bootstrap(lambda i: m.auc(score[i], label[i]), len(score), groups=group, repeats=repeats)
