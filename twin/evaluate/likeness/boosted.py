"""Boosted trees on summary statistics, and what they go by."""

from __future__ import annotations

import numpy as np

from twin import metrics as m

REPEATS = 3  # permutations a statistic and fold
TREES = {"max_iter": 150, "learning_rate": 0.06, "max_leaf_nodes": 8, "min_samples_leaf": 10, "l2_regularization": 1.0}


def cross_validate(
    values: np.ndarray, label: np.ndarray, fold: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(score (n,), drop (k, 2)): out-of-fold probability of label 1, and by how much the AUC of held-out folds falls,
    in the mean and its standard error, when statistic k is shuffled among their objects (Breiman 2001, Machine Learning
    45, 5).

    Statistics that say the same share what is lost: a small drop is no proof that a statistic is alike.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    score, drops = np.empty(len(label)), []
    rng = np.random.default_rng(seed)
    with threadpool_limits(1):  # so few rows are slower on many threads, and threads that wait burn their cores
        for held in range(fold.max() + 1):
            inside = fold == held
            x, y = values[inside], label[inside]
            trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed)
            trees.fit(values[~inside], label[~inside], sample_weight=_balance(label[~inside]))
            score[inside] = trees.predict_proba(x)[:, 1]
            best = m.auc(score[inside], y)
            for _ in range(REPEATS):
                shuffled = np.repeat(x[None], x.shape[1], axis=0)  # one copy a statistic, that one out of order
                for k in range(x.shape[1]):
                    shuffled[k, :, k] = rng.permutation(shuffled[k, :, k])
                found = trees.predict_proba(shuffled.reshape(-1, x.shape[1]))[:, 1].reshape(x.shape[1], -1)
                drops.append([best - m.auc(row, y) for row in found])
    each = np.array(drops)
    return score, np.stack([each.mean(axis=0), each.std(axis=0) / np.sqrt(len(each))], axis=1)


def _balance(label: np.ndarray) -> np.ndarray:
    """(n,) weights that give both labels half of the sum."""
    share = label.mean()
    return np.where(label == 1, 0.5 / share, 0.5 / (1 - share))


def alone(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(k,) AUC of each statistic by itself: above 0.5 where it is larger in label 1."""
    return np.array([m.auc(column, label) for column in values.T])
