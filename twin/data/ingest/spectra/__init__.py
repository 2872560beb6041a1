"""Spectra by the million into the layout of a dataset: streamed, resumable, what fails set aside by name."""

from twin.data.ingest.spectra.run import ingest_spectra
from twin.io.spectra.rows import SOURCES

__all__ = ["SOURCES", "ingest_spectra"]
