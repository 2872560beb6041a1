"""A million frames of csst-lens, 64x64 in one band, to Zarr on disk: the whole class mixture, a new PSF for each,
Poisson and read noise.

    python benchmarks/million.py [FRAMES]

Timed is `twin.data.simulate` as `twin simulate csst-lens --set 'bands=[i]'` runs it, from its start to the last fsync,
compiled programs warm. `memory_growth` is the largest resident memory of the second half of the run over that of the
first. Needs 8 GB of disk, which it gives back.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from _report import figure

from twin.numerics.devices import setup_devices

FRAMES = 1_000_000


class Memory(threading.Thread):
    """Notes the resident memory [byte] of this process ten times a second, where Linux tells it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, int]] = []
        self.running = True

    def run(self) -> None:
        import os

        page, source = os.sysconf("SC_PAGE_SIZE"), Path("/proc/self/statm")
        while self.running and source.exists():
            self.seen.append((time.monotonic(), int(source.read_text().split()[1]) * page))
            time.sleep(0.1)

    def most(self, begin: float, end: float) -> int:
        return max((size for at, size in self.seen if begin <= at <= end), default=0)


def main(frames: int) -> None:
    devices = setup_devices()
    from twin.data import simulate
    from twin.recipe import load_recipe

    recipe = load_recipe("csst-lens", ["bands=[i]"])
    recipe.shard(0, 0, 64)
    folder, memory = Path(tempfile.mkdtemp()), Memory()
    try:
        memory.start()
        begin, busy = time.monotonic(), time.process_time()
        written = simulate(recipe, folder / "million.zarr", frames, progress=sys.stderr.isatty())
        end, busy = time.monotonic(), time.process_time() - busy
        memory.running = False
        size = sum(path.stat().st_size for path in (folder / "million.zarr").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(folder)
    figure("frames_per_second", written.samples_per_second, "1/s")
    figure("frames", written.samples, "")
    figure("devices", devices, "")
    figure("cpu_us_per_frame", 1e6 * busy / written.samples, "us")
    figure("bytes_per_frame", size / written.samples, "byte")
    middle = begin + 0.5 * (end - begin)
    first, second = memory.most(begin, middle), memory.most(middle, end)
    if first and second:
        figure("memory", second / 2**20, "MiB")
        figure("memory_growth", second / first, "")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
