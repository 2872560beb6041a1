"""Numbers of a table's columns, whatever they are written as: text, vectors in text, codes for "no value"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

_WORDS = {"", "nan", "none", "null", "n/a", "na", "--", "-", "undef", "undefined", "unknown", "inf", "-inf", "[]"}
_SEXAGESIMAL = re.compile(r"([-+]?)(\d{1,3}):(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?")  # 352:18:42.84 is 352.312
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan", re.IGNORECASE)


def numbers(
    column: Any, missing: Sequence[float | str] = (), item: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(float64 values with NaN for "no value" (n,), rows that say so by a code, rows of text that is no number).

    missing  numbers and words for "no value", besides empty cells and the usual words
    item     which number of a vector (a column of arrays, or of texts such as "[0.5, 1.1]"), counted from 1
    """
    from astropy.utils.masked import Masked

    mask: Any = np.zeros(len(column), bool)
    if isinstance(column, Masked):
        mask, column = np.asarray(column.mask), column.unmasked
    elif isinstance(column, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(column)
    values: Any = np.asarray(np.ma.getdata(getattr(column, "value", column)))
    if item is not None and values.ndim == 2 and values.dtype.kind in "iuf":
        found = values[:, item - 1].astype(float) if item <= values.shape[1] else np.full(len(values), np.nan)
        mask = mask[:, item - 1] if mask.ndim == 2 and item <= mask.shape[1] else np.zeros(len(values), bool)
        return _coded(found, mask, missing, np.zeros(0, int))
    if values.ndim != 1 or values.dtype.kind not in "iufOSU":
        return np.full(len(values), np.nan), np.zeros(0, int), np.arange(len(values))
    if values.dtype.kind in "iuf":
        found = values.astype(float) if item is None else np.full(len(values), np.nan)
        return _coded(found, mask, missing, np.zeros(0, int))
    words = _WORDS | {str(word).strip().lower() for word in missing if isinstance(word, str)}
    texts = ["" if mask[k] else str(value).strip() for k, value in enumerate(values)]
    if item is not None:
        vectors = [_NUMBER.findall(text) for text in texts]
        found = np.array([float(v[item - 1]) if len(v) >= max(item, 2) else np.nan for v in vectors])
        bad = [k for k, text in enumerate(texts) if not vectors[k] and text.lower() not in words]
        return _coded(found, mask, missing, np.array(bad, int))
    found, bad = np.full(len(texts), np.nan), []
    for k, text in enumerate(texts):
        if text.lower() in words:
            continue
        try:
            found[k] = float(text)
        except ValueError:
            turned = _SEXAGESIMAL.fullmatch(text)
            if turned is None:
                bad.append(k)
            else:
                size = sum(float(part or 0) / 60**j for j, part in enumerate(turned.groups()[1:]))
                found[k] = -size if turned[1] == "-" else size
    return _coded(found, mask, missing, np.array(bad, int))


def _coded(
    found: np.ndarray, mask: np.ndarray, missing: Sequence[float | str], bad: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = np.zeros(len(found), bool)
    for code in missing:
        if isinstance(code, int | float):
            codes |= np.isclose(found, code, rtol=1e-6, atol=1e-9)
    found = np.where(codes | mask | ~np.isfinite(found), np.nan, found)
    return found, np.flatnonzero(codes), bad
