"""`twin telemetry`: what a source says, what is missing and what stands in for it, what is wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from twin.observatory.canonical import iso_of, write_ecsv
from twin.observatory.config import find_instrument, list_instruments, read_config
from twin.observatory.convert import Telemetry
from twin.observatory.kinds import KINDS, kind_of
from twin.observatory.matching import Columns
from twin.observatory.sources import load
from twin.observatory.telemetry import Channel, build_channels
from twin.observatory.time_checks import duplicates
from twin.schema import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def run(
    path: str | Path, instrument: str | None = None, keyword_map: str | None = None, out: str | Path | None = None,
    sort: bool = False, console: Console | None = None,
) -> Telemetry:  # fmt: skip
    """Read, check and print a telemetry source; write it to `out` as canonical ECSV. Returns what was read.

    instrument   whose priors stand in for missing channels; None: that of the keyword map, if it is a shipped one
    keyword_map  name or YAML file; None finds the one that fits best
    sort         put rows in the order of time before they are written, which is refused otherwise
    Rows that repeat another are written once. Raises UserError.
    """
    from rich.console import Console

    chosen = None
    if instrument is not None:
        node = find_instrument(instrument)
        config = read_config(node)
        chosen = config.name, build_channels(config, node), tuple(config.bands)
    found = load(path, keyword_map, chosen[2] if chosen else ())
    if chosen is None and found.map.instrument in list_instruments():
        node = find_instrument(str(found.map.instrument))
        config = read_config(node)
        chosen = config.name, build_channels(config, node), tuple(config.bands)
    console = console or Console(width=max(Console().width, 110))
    console.print(_title(found, keyword_map is not None), highlight=False)
    console.print(_read(found))
    if chosen is None:
        console.print("\nno instrument (--instrument NAME), so nothing stands in for what is missing")
    else:
        console.print(*_stand_ins(found, *chosen), sep="\n")
    _problems(found, console)
    if out is not None:
        console.print(_write(found, out, sort), highlight=False)
    return found


def _title(found: Telemetry, told: bool) -> str:
    span = ""
    if found.days is not None and np.isfinite(found.days).any():
        first, last = iso_of(np.array([np.nanmin(found.days), np.nanmax(found.days)]))
        span = f", {first[:16]} to {last[:16]} UTC" if last != first else f", {first[:19]} UTC"
    how = "as told" if told else "the one that fits best"
    used = sum(not reading.source.startswith("from ") for reading in found.readings.values())
    return (
        f"{found.path}: {len(found)} exposures{span}\n"
        f'keyword map "{found.map.name}" ({how}): {used} channels of {len(found.table.colnames)} columns\n'
    )


def _read(found: Telemetry) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("channel", no_wrap=True)
    table.add_column("from", overflow="ellipsis")
    table.add_column("in", no_wrap=True)
    for name in ("rows", "min", "median", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("missing", justify="right")
    lost = Counter[str]()
    for problem in found.findings:
        if problem.effect:
            lost[problem.channel] += 1
    for name, reading in found.readings.items():
        there = reading.values[np.isfinite(reading.values)]
        figures = (
            [f"{value:.5g}" for value in (there.min(), np.median(there), there.max())] if len(there) else ["-"] * 3
        )
        absent = len(reading.values) - len(there)
        note = f"{absent}{' (bad)' if lost[name] else ''}" if absent else ""
        words = reading.source.replace(" / ", ", ").split(", ")
        source = reading.source if len(words) < 3 else f"{words[0]} ... {words[-1]}"
        table.add_row(name, source, reading.unit, str(len(there)), *figures, KINDS[kind_of(name)[0]].unit, note)
    return table


def _stand_ins(found: Telemetry, name: str, channels: tuple[Channel, ...], bands: tuple[str, ...]) -> list[object]:
    from rich.table import Table

    table = Table(f"missing, drawn from {name}'s prior", "rows", "law", "median", box=None, pad_edge=False)
    groups: dict[str, list[Channel]] = {}
    for channel in channels:
        groups.setdefault(channel.kind, []).append(channel)
    for kind, members in groups.items():
        absent = {rows_missing(found, channel, bands) for channel in members}
        if absent == {0}:
            continue
        medians = list(dict.fromkeys(f"{channel.at(0):.4g}" for channel in members))
        rows = (
            "all"
            if absent == {len(found)}
            else f"{min(absent)} to {max(absent)}"
            if len(absent) > 1
            else f"{max(absent)}"
        )
        unit = members[0].unit
        table.add_row(kind, rows, members[0].law, f"{' / '.join(medians)} {unit}".rstrip())
    if not table.row_count:
        return ["", f"nothing that {name} needs is missing"]
    return ["", table]


def rows_missing(found: Telemetry, channel: Channel, bands: tuple[str, ...]) -> int:
    """Rows in which a file has no value for an instrument's channel; of what is measured in one filter, in that one."""
    reading = found.readings.get(channel.name) or found.readings.get(channel.kind)
    if reading is None:
        return len(found)
    absent = np.isnan(reading.values)
    if (
        KINDS[channel.kind].by_band
        and channel.band is not None
        and found.band is not None
        and reading.channel == channel.kind
    ):
        absent = absent | (found.band != bands[channel.band])
    return int(absent.sum())


def _problems(found: Telemetry, console: Console) -> None:
    what = {"missing": "[red]counts as missing[/red]", "channel": "[red]whole channel counts as missing[/red]"}
    if not found.findings:
        console.print("\nnothing odd was found")
        return
    console.print(f"\n{len(found.findings)} odd things:")
    for problem in found.findings:
        effect = f" -> {what[problem.effect]}" if problem.effect else ""
        console.print(f"  [bold]{problem.kind}[/bold]  ", end="")
        console.print(str(problem), end="", markup=False, highlight=False, soft_wrap=True)
        console.print(effect, soft_wrap=True)


def _write(found: Telemetry, out: str | Path, sort: bool) -> str:
    repeated, _ = duplicates(found)
    keep = np.setdiff1d(np.arange(len(found)), repeated)
    days = found.days
    moved = False
    if days is not None and np.isfinite(days).any():
        inner = days[keep]
        moved = bool((np.diff(inner[np.isfinite(inner)]) < 0).any())
        if moved and not sort:
            raise UserError("rows are out of order in time: --sort puts them in order", file=found.path)
        if moved:
            keep = keep[np.argsort(np.where(np.isnan(inner), np.inf, inner), kind="stable")]
    found.take(keep)
    write_ecsv(found, out)
    done = [f"{len(repeated)} repeated rows left out"] * bool(len(repeated)) + ["put in order of time"] * moved
    return f"\nwrote {out}: {len(found)} rows" + (f" ({', '.join(done)})" if done else "")


def unused(found: Telemetry) -> list[str]:
    """Columns that no channel, time or filter uses."""
    used = " ".join(reading.source for reading in found.readings.values()) + " " + found.time_source
    return [name for name in Columns.of(found.table).names.values() if name not in used]
