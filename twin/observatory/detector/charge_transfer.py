"""Charge-transfer inefficiency: traps in the silicon hold electrons back from a packet and let them go into later ones.

A packet of q electrons reaches the share (q / w)^fill of each pixel's traps, w being the full well (Massey+ 2010, MNRAS
401, 371; Massey+ 2014, MNRAS 439, 887). Capture is instantaneous; a trap lets go with a probability of 1 - exp(-1/tau)
a transfer. The n pixels that a packet passes on its way out are taken together: they hold T electrons, and for packet
after packet, in the order of read-out,

    released = T (1 - exp(-1/tau)),   captured = max(0, n density (q / w)^fill - (T - released))

Every electron captured is released into a later packet, or still held at the end of the frame: none is made or lost.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.observatory.detector.config import DetectorConfig, Traps
from twin.observatory.detector.place import Place, split, transfers


def trail(charge: Array, number: Array, traps: tuple[Traps, ...], full: Array, fill: float, before: Array) -> Array:
    """Packets (L, ...) [electron] in the order of read-out, after `number` (L, ...) of transfers each.

    number 0: not read this way, left alone; 1: the first that its amplifier reads, which finds empty traps. full: the
    full well, before: the packets that were read before the first one [electron]; both broadcastable to charge[0].
    """
    one_each = (len(traps), *[1] * (charge.ndim - 1))
    density = jnp.asarray([t.density for t in traps], jnp.float32).reshape(one_each)
    gone = jnp.asarray(-np.expm1(-1 / np.array([t.release for t in traps])), jnp.float32).reshape(one_each)

    def reached(q: Array, n: Array) -> Array:
        return density * (n * (jnp.clip(q, 0, full) / full) ** fill)

    def step(held: Array, packet: tuple[Array, Array]) -> tuple[Array, Array]:
        q, n = packet
        held = jnp.where(n <= 1, 0.0, held)
        released = jnp.where(n > 0, gone * held, 0.0)
        held, q_now = held - released, q + released.sum(0)
        captured = jnp.maximum(reached(q_now, n) - held, 0)
        total = captured.sum(0)
        captured = captured * jnp.where(total > q_now, q_now / jnp.maximum(total, 1e-6), 1.0)
        return held + captured, jnp.where(n > 0, q_now - captured.sum(0), q)

    number = jnp.broadcast_to(number, charge.shape).astype(charge.dtype)
    start = reached(jnp.broadcast_to(before, charge.shape[1:]), number[0])
    return jax.lax.scan(step, start, (charge, number))[1]


def transfer(charge: Array, place: Place, full: Array, before: Array, detector: DetectorConfig) -> Array:
    """Charge (B, ny, nx) [electron] as it reaches the amplifiers: parallel transfers along y, then serial ones along x.

    full, before  (B,) full well, and charge of the pixels around the frame [electron]
    """
    config, amplifiers = detector.transfer, split(detector)
    assert config is not None
    serial, parallel = transfers(place, detector)
    full, before = full[:, None], before[:, None]
    for traps, number, axis, both in (
        (config.parallel, parallel, 1, amplifiers.rows == 2),
        (config.serial, serial, 2, amplifiers.serial == "outward"),
    ):
        ways = (1, -1) if both else (-1 if axis == 2 and amplifiers.serial == "right" else 1,)
        for way in ways if traps else ():
            order, n = jnp.moveaxis(charge, axis, 0), jnp.maximum(way * number, 0).T[:, :, None]
            done = trail(order[::way], n[::way], traps, full, config.fill, before)[::way]
            charge = jnp.moveaxis(done, 0, axis)
    return charge
