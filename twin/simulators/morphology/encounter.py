"""Two discs of test particles on a parabolic encounter: bridges, tails and shells as Toomre & Toomre (1972, ApJ 178,
623) made them, in halos instead of points.

Units: scale length h of the heavier disc, its mass M and (h^3 / G M)^(1/2). Halos are Hernquist's (1990, ApJ 356, 359),
g = M r / (s (s + a)^2) with s^2 = r^2 + eps^2, a = 2 h. The lesser galaxy's masses and lengths are m and m^(1/2).
A drag in the direction of motion stands for the dynamical friction that a restricted calculation lacks.
Particles start on fixed lattices, so an encounter's numbers are all there is to know of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

PARTICLES = 2048  # a disc
EDGE = 4.5  # radius of the discs, in scale lengths
STEPS, APPROACH = 80, 14.0  # leapfrog steps in all, and time before closest approach at which they begin
_HALO, _SOFT, _DRAG = 2.0, 0.12, 0.5

_RADII = EDGE * (np.arange(PARTICLES) + 0.5) / PARTICLES
_TURNS = np.arange(PARTICLES) * np.pi * (3 - np.sqrt(5))  # golden angle: evenly spread, for any stretch of radii
WEIGHTS = (_RADII * np.exp(-_RADII) / np.sum(_RADII * np.exp(-_RADII))).astype(np.float32)
WIDE = _RADII > 1.4  # where particles are far apart, and will be more so in tails


@dataclass(frozen=True)
class Snapshot:
    """Where everything is on the sky, in scale lengths from the centre of light.

    discs, undisturbed  (2, PARTICLES, 2) with the encounter, and had there been none
    nuclei  (2, 2);  strayed (2,)  share of a disc's light beyond where it once ended
    """

    discs: Array
    undisturbed: Array
    nuclei: Array
    strayed: Array


def _pull(d: Array, mass: Array, length: Array) -> Array:
    """Acceleration (..., 3) at offsets d from a halo's centre."""
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    s = jnp.sqrt(x * x + y * y + z * z + (_SOFT * length) ** 2)
    a = _HALO * length
    return d * (-mass / (s * (s + a) ** 2))[..., None]


def _tilted(inclination: Array, node: Array) -> tuple[Array, Array]:
    """Unit vectors (2, 3) along a disc's node and across it in its plane, for both discs."""
    ci, si, cn, sn = jnp.cos(inclination), jnp.sin(inclination), jnp.cos(node), jnp.sin(node)
    return jnp.stack([cn, sn, jnp.zeros_like(cn)], -1), jnp.stack([-sn * ci, cn * ci, si], -1)


def snapshot(
    ratio: Array, pericentre: Array, time: Array, spin: Array, node: Array, view: Array, light: Array
) -> Snapshot:
    """An encounter `time` after its closest approach (negative: before it).

    ratio  mass of the lesser galaxy;  spin, node (2,)  of the discs [rad];  view (2,)  inclination of the orbit to
    the sky and place of the observer about it [rad];  light (2,)  shares of the two, for the centre
    """
    mass = jnp.stack([jnp.ones_like(ratio), ratio])
    length = jnp.sqrt(mass)
    share = mass[::-1] / mass.sum() * jnp.array([-1.0, 1.0])  # of the separation, from the centre of mass

    def relative(d: Array) -> Array:
        return _pull(d, mass.sum(), jnp.ones(()))

    speed = jnp.sqrt(2 * mass.sum() / (pericentre + _HALO))  # parabolic, for the halo's potential -M / (r + a)
    zero = jnp.zeros_like(pericentre)
    separation, velocity = jnp.stack([pericentre, zero, zero]), jnp.stack([zero, speed, zero])

    def back(_: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        d, v = now
        v = v - 0.5 * step_back * relative(d)
        d = d - step_back * v
        return d, v - 0.5 * step_back * relative(d)

    step_back = np.float32(APPROACH / 40)
    separation, velocity = lax.fori_loop(0, 40, back, (separation, velocity))
    along, across = _tilted(spin, node)
    radii = jnp.asarray(_RADII, jnp.float32)[None] * length[:, None]
    s = jnp.sqrt(radii**2 + (_SOFT * length[:, None]) ** 2)
    circular = radii * jnp.sqrt(mass[:, None] / s) / (s + _HALO * length[:, None])
    cos, sin = jnp.asarray(np.cos(_TURNS), jnp.float32), jnp.asarray(np.sin(_TURNS), jnp.float32)

    def on_disc(cos: Array, sin: Array) -> Array:
        return cos[..., None] * along[:, None] + sin[..., None] * across[:, None]

    rest = radii[..., None] * on_disc(cos, sin)
    centres, motions = share[:, None] * separation, share[:, None] * velocity
    places = centres[:, None] + rest
    speeds = motions[:, None] + circular[..., None] * on_disc(-sin, cos)
    dt = (time + APPROACH) * (1 / STEPS)

    def field(places: Array, separation: Array) -> Array:
        pulls = [_pull(places - share[j] * separation, mass[j], length[j]) for j in (0, 1)]
        return pulls[0] + pulls[1]

    def orbit(separation: Array, velocity: Array) -> Array:
        near = 1 / (jnp.sum(separation**2) + 1.0)
        return relative(separation) - (_DRAG * ratio * near) * velocity

    def forward(_: Array, now: tuple[Array, ...]) -> tuple[Array, ...]:
        d, v, x, w = now
        v, w = v + 0.5 * dt * orbit(d, v), w + 0.5 * dt * field(x, d)
        d, x = d + dt * v, x + dt * w
        return d, v + 0.5 * dt * orbit(d, v), x, w + 0.5 * dt * field(x, d)

    separation, _, places, _ = lax.fori_loop(0, STEPS, forward, (separation, velocity, places, speeds))
    centres = share[:, None] * separation
    off = places - centres[:, None]
    distance = jnp.sqrt(jnp.sum(off * off, -1))
    strayed = jnp.sum(jnp.asarray(WEIGHTS) * (distance > 1.1 * EDGE * length[:, None]), -1)
    ci, si, cp, sp = jnp.cos(view[0]), jnp.sin(view[0]), jnp.cos(view[1]), jnp.sin(view[1])

    def seen(x: Array) -> Array:
        flat = -sp * x[..., 0] + cp * x[..., 1]
        return jnp.stack([cp * x[..., 0] + sp * x[..., 1], ci * flat + si * x[..., 2]], -1)

    nuclei = seen(centres)
    middle = jnp.sum(light[:, None] * nuclei, 0)
    return Snapshot(seen(places) - middle, seen(centres[:, None] + rest) - middle, nuclei - middle, strayed)
