"""Fields about an observed galaxy: lensed by another one, or as it is.

A real galaxy has the shape that was observed; which one of the catalogue, how it lies, how large and how bright it is
are drawn. Its size is a factor on its own: below 1 it looks farther away. One that is not lensed has its own magnitude
but for `real_contrast`: made much brighter, it would show its own noise.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from twin.priors.fields import Prior, Truth, _behind, _blue, _lens, interlopers
from twin.priors.sites import SITES, Site

REAL_SITES: dict[str, Site] = SITES | {
    "real_size": Site("size of an observed galaxy, of its own", "", 0.05, 5.0),
    "real_contrast": Site("r of an observed galaxy less the catalogue's magnitude", "mag", -10, 10),
    "source_size": Site("the same of one that is lensed", "", 0.05, 5.0),
}


def _shape(p: Prior, name: str, site: str, galaxies: int) -> Truth:
    """Which galaxy of the catalogue and how it lies: mirrored or not, turned by any angle."""
    u = numpyro.sample(f"{name}_index", dist.Uniform(0.0, 1.0))
    return {
        f"{name}_index": jnp.minimum(jnp.floor(u * galaxies), galaxies - 1.0),
        f"{name}_angle": numpyro.sample(f"{name}_angle", dist.Uniform(0.0, 2 * np.pi)),
        f"{name}_flip": jnp.where(numpyro.sample(f"{name}_flip", dist.Bernoulli(0.5)) == 1, 1.0, 0.0),
        f"{name}_size": p.draw(site, f"{name}_size"),
    }


def lens_real(p: Prior, magnitudes: np.ndarray) -> Truth:
    """An observed galaxy behind the galaxy of `fields.lens_galaxy`."""
    z_source = p.draw("z_source")
    gr, ri = _blue(p, "source")
    return {
        **_lens(p, z_source),
        **_behind(p),
        "z_source": z_source,
        "source_mag": p.magnitudes(p.draw("source_mag"), gr, ri, "galaxy", z_source),
        **_shape(p, "source", "source_size", len(magnitudes)),
        **interlopers(p),
    }


def galaxy_real(p: Prior, magnitudes: np.ndarray) -> Truth:
    """An observed galaxy in the middle of the field; `magnitudes` are those of the catalogue."""
    gr, ri = _blue(p, "galaxy")
    z = p.redshift("z_galaxy", "galaxy_z")
    shape = _shape(p, "galaxy", "real_size", len(magnitudes))
    own = jnp.asarray(magnitudes, jnp.float32)[shape["galaxy_index"].astype(jnp.int32)]
    return {
        "galaxy_x": p.draw("centre", "galaxy_x"),
        "galaxy_y": p.draw("centre", "galaxy_y"),
        "galaxy_mag": p.magnitudes(own + p.draw("real_contrast"), gr, ri, "galaxy", z),
        **shape,
        **interlopers(p),
    }


CLASSES: dict[str, Callable[[Prior, np.ndarray], Truth]] = {f.__name__: f for f in (lens_real, galaxy_real)}
