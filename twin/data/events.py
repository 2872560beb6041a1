"""Events of X-ray datasets: one Parquet a shard, `events/NNNNNN.parquet`, a row an event, with its sample."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.schema import UserError

if TYPE_CHECKING:
    from twin.data.load import Dataset

NAME = "events"  # of the table among a shard's arrays


def events_key(shard: int) -> str:
    """Path of a shard's events in the dataset."""
    return f"{NAME}/{shard:06d}.parquet"


def encode_events(table: np.ndarray) -> bytes:
    """A structured array as Parquet; the same bytes for the same rows."""
    import pyarrow
    from pyarrow import parquet

    columns = {name: np.ascontiguousarray(table[name]) for name in table.dtype.names or ()}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def decode_events(path: Path) -> np.ndarray:
    """The structured array of a file. Raises UserError for what is no Parquet, or gone."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except FileNotFoundError:
        raise UserError("is missing from the dataset", file=path) from None
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"is damaged ({error})", file=path) from error
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    out = np.zeros(table.num_rows, np.dtype([(name, values.dtype) for name, values in columns.items()]))
    for name, values in columns.items():
        out[name] = values
    return out


def read_events(dataset: Dataset, sample: int) -> np.ndarray:
    """Events of one sample, in order of time. Raises UserError where the dataset has none, or the sample is
    unfinished."""
    if "events" not in dataset.attrs:
        raise UserError("holds no events: simulate it with --events", file=dataset.path)
    shard = sample // dataset.shard_samples
    if shard in dataset.unfinished:
        raise UserError(f"shard {shard} is unfinished", file=dataset.path, key="events")
    table = decode_events(dataset.path / events_key(shard))
    return table[table["sample"] == sample]
