"""A table's columns against keyword maps: which map fits, which rows are of another instrument."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from twin.observatory.keywords import Identity, KeywordMap, Source, list_maps, load_map

if TYPE_CHECKING:
    from astropy.table import Table


def normal(keyword: str) -> str:
    """A keyword as it is compared: "CCD-TEMP", "ccd_temp" and "CCD TEMP" are the same."""
    return re.sub(r"[\s_.-]+", "_", keyword.strip()).lower()


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their compared names."""

    names: Mapping[str, str]

    @classmethod
    def of(cls, table: Table) -> Columns:
        found: dict[str, str] = {}
        for name in table.colnames:
            found.setdefault(normal(name), name)
        return cls(found)

    def __getitem__(self, keyword: str | None) -> str | None:
        return self.names.get(normal(keyword)) if keyword else None

    def any(self, keywords: Iterable[str]) -> bool:
        return any(self[keyword] is not None for keyword in keywords)

    def usable(self, source: Source) -> bool:
        """Whether the table has what a source needs."""
        there = all(self.any(group) for group in source.groups)
        return there and (not source.when or self.any(source.when)) and not self.any(source.unless)


def detect(table: Table, maps: Sequence[KeywordMap] = ()) -> tuple[KeywordMap, dict[str, int]] | None:
    """The map that fits a table best, and the channels that each candidate would find; None where none finds any.

    A map whose `identify` the table meets comes before the generic one, which comes before the others.
    """
    candidates = maps or [load_map(name) for name in list_maps()]
    columns = Columns.of(table)
    scores = {each.name: sum(any(map(columns.usable, s)) for s in each.channels.values()) for each in candidates}
    ranks = {each.name: 2 * identified(each, table) + (not each.identify) for each in candidates}
    best = max(candidates, key=lambda each: (scores[each.name] > 0, ranks[each.name], scores[each.name]))
    return (best, scores) if scores[best.name] else None


def identified(each: KeywordMap, table: Table) -> bool:
    """Whether a table shows one of the map's marks, in at least half of the rows that have the keyword."""
    columns = Columns.of(table)
    for identity in each.identify:
        if identity.columns and all(columns[name] for name in identity.columns):
            return True
        own, others = _marked(identity, table[:1000], columns)
        if own.any() and own.sum() >= others.sum():
            return True
    return False


def foreign_rows(each: KeywordMap, table: Table) -> tuple[np.ndarray, str]:
    """(rows that carry the mark of another instrument, what that mark is called)."""
    columns = Columns.of(table)
    for identity in each.identify:
        own, others = _marked(identity, table, columns)
        if own.any():
            name = columns[identity.keyword] or ""
            words = sorted({str(table[name][int(row)]).strip() for row in np.flatnonzero(others)[:200]})
            return np.flatnonzero(others), ", ".join(words[:4])
    return np.zeros(0, int), ""


def _marked(identity: Identity, table: Table, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """(rows whose keyword has one of the texts, rows whose keyword has another)."""
    name = columns[identity.keyword]
    if name is None or table[name].dtype.kind not in "OSU":
        return np.zeros(len(table), bool), np.zeros(len(table), bool)
    texts = np.array([str(value).strip().lower() for value in table[name]])
    own = np.array([any(word.lower() in text for word in identity.has) for text in texts], bool)
    return own, ~own & (texts != "")
