"""X-ray files as OGIP lays them down: event lists, responses, spectra and count images, read and written.

Nothing here knows a telescope. Event lists are streamed, so that their size does not matter.
"""

from twin.io.xray.event_writer import write_events
from twin.io.xray.events import EventFile, Events, Tally, open_events, read_events
from twin.io.xray.images import CountImage, bin_events, bin_times, read_count_image, write_count_image
from twin.io.xray.responses import (
    Arf,
    Rmf,
    bins,
    covered_channels,
    fold,
    gaussian_rmf,
    read_arf,
    read_rmf,
    write_arf,
    write_rmf,
)
from twin.io.xray.spectra import Spectrum, read_spectrum, write_spectrum
from twin.io.xray.tangent import Tangent

__all__ = [
    "Arf",
    "CountImage",
    "EventFile",
    "Events",
    "Rmf",
    "Spectrum",
    "Tally",
    "Tangent",
    "bin_events",
    "bin_times",
    "bins",
    "covered_channels",
    "fold",
    "gaussian_rmf",
    "open_events",
    "read_arf",
    "read_count_image",
    "read_events",
    "read_rmf",
    "read_spectrum",
    "write_arf",
    "write_count_image",
    "write_events",
    "write_rmf",
    "write_spectrum",
]
