"""Datasets: written shard by shard, verified, healed, read in shuffled batches, looked at, ingested from real files."""

from twin.data.acceptance import Acceptance, acceptance
from twin.data.batches import batches_per_epoch, shuffled_batches
from twin.data.ingest import ingest
from twin.data.inspect import colour, contact_sheet
from twin.data.load import DamagedShard, Dataset, open_dataset
from twin.data.verify import Report, heal, verify
from twin.data.write import Written, simulate

__all__ = [
    "Acceptance",
    "DamagedShard",
    "Dataset",
    "Report",
    "Written",
    "acceptance",
    "batches_per_epoch",
    "colour",
    "contact_sheet",
    "heal",
    "ingest",
    "open_dataset",
    "shuffled_batches",
    "simulate",
    "verify",
]
