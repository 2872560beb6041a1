"""Physical augmentation: what a telescope could have changed in a frame without changing its labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from twin.train.config import Augment


def augment(
    key: jax.Array, counts: jax.Array, rms: jax.Array, size: int, config: Augment
) -> tuple[jax.Array, jax.Array]:
    """One random version of each frame, cropped to `size`.

    counts  (n, band, y, x), at least size + 2 * config.shift wide, peak in the middle; rms (n, band)
    Returns counts (n, band, size, size) and rms (n, band), the noise that the new frames have.
    """
    shift, flip, gain, noise = jax.random.split(key, 4)
    counts = random_crop(shift, counts, size, config.shift)
    if config.flip:
        counts = dihedral(counts, jax.random.bernoulli(flip, shape=(3, len(counts))))
    if config.noise > 1 and config.noise_probability > 0:
        counts, rms = add_noise(noise, counts, rms, config.noise, config.noise_probability)
    if config.gain > 0:
        factor = jnp.exp(config.gain * jax.random.normal(gain, rms.shape))
        counts, rms = counts * factor[:, :, None, None], rms * factor
    return counts, rms


def random_crop(key: jax.Array, counts: jax.Array, size: int, largest: int) -> jax.Array:
    """(n, band, size, size) crops whose middle is up to `largest` pixels a side from the peak, evenly."""
    n, bands, ny, nx = counts.shape
    middle = jnp.array([ny // 2 - size // 2, nx // 2 - size // 2])
    start = middle + jax.random.randint(key, (n, 2), -largest, largest + 1)

    def one(frame: jax.Array, at: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(frame, (0, at[0], at[1]), (bands, size, size))

    return jax.vmap(one)(counts, start)


def dihedral(counts: jax.Array, bits: jax.Array) -> jax.Array:
    """Each square frame (n, band, y, x) flipped in y, in x and along the diagonal where bits (3, n) say so."""
    up, side, diagonal = bits[:, :, None, None, None]
    counts = jnp.where(up, counts[:, :, ::-1], counts)
    counts = jnp.where(side, counts[:, :, :, ::-1], counts)
    return jnp.where(diagonal, counts.swapaxes(2, 3), counts)


def all_dihedrals(counts: jax.Array) -> jax.Array:
    """(8, n, band, y, x): every flip and quarter turn of square frames."""
    bits = jnp.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)], bool)
    return jax.vmap(lambda b: dihedral(counts, jnp.broadcast_to(b[:, None], (3, len(counts)))))(bits)


def add_noise(
    key: jax.Array, counts: jax.Array, rms: jax.Array, highest: float, probability: float
) -> tuple[jax.Array, jax.Array]:
    """White noise of standard deviation sqrt(k**2 - 1) * rms, and the noise k * rms that this makes.

    ln k is even between 0 and ln(highest), one k for all bands of a frame; k = 1 for a part 1 - probability of them.
    A longer or darker exposure cannot be made from a frame, a shorter or brighter one can.
    """
    chosen, level, normal = jax.random.split(key, 3)
    n = len(counts)
    k = jnp.exp(jnp.log(highest) * jax.random.uniform(level, (n, 1)))
    k = jnp.where(jax.random.bernoulli(chosen, probability, (n, 1)), k, 1.0)
    sigma = jnp.sqrt(k**2 - 1) * rms
    return counts + sigma[:, :, None, None] * jax.random.normal(normal, counts.shape), k * rms
