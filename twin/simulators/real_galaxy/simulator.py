"""The simulator "real-lens": observed galaxies, lensed or as they are -> expected counts, labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from jax import Array
from pydantic import BaseModel, ConfigDict, Field

from twin.io.layout import ArraySpec
from twin.io.real_galaxy import read_catalogue
from twin.numerics.fourier import image, product
from twin.observatory import detector
from twin.observatory.state import ImagerState
from twin.priors import real_galaxy as prior
from twin.priors.fields import Prior, Truth
from twin.priors.sites import Site
from twin.schema import UserError, suggest
from twin.simulators import lensing, quadrature
from twin.simulators.base import Canvas, Rendered, Setup
from twin.simulators.optical import (
    FIELD_GALAXIES,
    FIELD_STARS,
    Fields,
    _lens_light,
    _points,
    _sersic,
    counts,
    sie,
    source_position,
)
from twin.simulators.real_galaxy.deconvolve import LEVEL, SMOOTH, build
from twin.simulators.real_galaxy.light import noise_variance, real_light, real_spectrum
from twin.simulators.scene import LightMap, Scene, render

logger = logging.getLogger(__name__)


class RealScene(BaseModel):
    """The `scene:` section.

    catalogue  file in the GalSim RealGalaxy format: beside the recipe, or under TWIN_REAL_DATA
    psf        FITS image or NumPy .npz of one PSF for all of its galaxies; None = each has its own
    level      of the original OTF; what it cut deeper is left out
    smooth     standard deviation of what a lensed galaxy is smoothed with [arcsec at its own size]
    noise      of the original images in galaxies that are not lensed: removed, or kept as it was observed
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    catalogue: str
    psf: str | None = None
    level: float = Field(LEVEL, ge=0.005, le=0.5)
    smooth: float = Field(SMOOTH, ge=0, le=1)
    noise: Literal["remove", "keep"] = "remove"


def _find(text: str, key: str) -> Path:
    """A file by its path (the recipe has made it absolute where it lies beside it), or among the real observations."""
    path, data = Path(text), os.environ.get("TWIN_REAL_DATA")
    if path.is_file():
        return path
    if not data:
        problem = f"there is no {text} beside the recipe, and TWIN_REAL_DATA, which may hold it, is not set"
        raise UserError(problem, key=f"scene: {key}")
    found = Path(data) / path
    if not found.is_file():
        here = [p.name for p in found.parent.iterdir()] if found.parent.is_dir() else []
        raise UserError(
            f"no such file beside the recipe or in TWIN_REAL_DATA: {text}",
            key=f"scene: {key}",
            suggestion=suggest(found.name, here),
        )
    return found


class RealLens:
    """Observed galaxies behind galaxies that lens them, and by themselves (`twin.priors.real_galaxy`)."""

    options: ClassVar[type[BaseModel]] = RealScene
    sites: ClassVar[Mapping[str, Site]] = prior.REAL_SITES
    classes: ClassVar[tuple[str, ...]] = tuple(prior.CLASSES)
    units: ClassVar[Mapping[str, str]] = {**Fields.units, "_size": "", "_index": "", "_flip": ""}
    files: ClassVar[tuple[str, ...]] = ("catalogue", "psf")

    def __init__(self, setup: Setup) -> None:
        """Raises UserError where the catalogue or a file of it is missing or damaged."""
        self.scene: RealScene = setup.options
        self.bands = setup.bands
        psf = None if self.scene.psf is None else _find(self.scene.psf, "psf")
        catalogue = read_catalogue(_find(self.scene.catalogue, "catalogue"), psf)
        for note in catalogue.notes:
            logger.warning("%s: %s", self.scene.catalogue, note)
        self.table = build(catalogue, self.scene.level, self.scene.smooth, self.scene.noise)
        self._sha256 = catalogue.sha256

    @property
    def identity(self) -> dict[str, Any]:
        """The options, with the content of the files in place of their names."""
        return self.scene.model_dump(mode="json", exclude=set(self.files)) | {"files": self._sha256}

    def truth(self, cls: str, prior_: Prior) -> Callable[[], Truth]:
        return lambda: prior.CLASSES[cls](prior_, self.table.magnitude)

    def render(self, cls: str, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        return (self._lens if cls == "lens_real" else self._galaxy)(truth, state, canvas)

    def _lens(self, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        lens, beta = sie(truth), source_position(truth)
        galaxy = real_light(self.table, truth["source_index"], *beta, *_how(truth, "source"))

        def brightness(x: Array, y: Array) -> Array:
            ax, ay = lensing.deflection(lens, x, y)
            return galaxy(x - ax, y - ay)[None]

        side = canvas.grid.npix * canvas.cells * canvas.subsamples
        cell = canvas.grid.pixel_scale / (canvas.cells * canvas.subsamples)
        samples = quadrature.integrate(brightness, side, cell, canvas.blocks, canvas.points)
        light = LightMap(quadrature.bin_cells(samples, canvas.subsamples)[0], counts(truth["source_mag"], state))
        transfer = canvas.transfer(state)
        sersics = _sersic(truth, state, _lens_light(), *FIELD_GALAXIES)
        scene = Scene(sersics, _points(truth, state, *FIELD_STARS), light)
        x, y, _, exists = lensing.images(lens, *beta)
        separation = lensing.largest_separation(x, y, exists)
        nothing = jnp.full((len(self.bands),), jnp.nan, jnp.float32)
        parts: dict[str, Any] = {"separation": separation, "noise": nothing}
        if canvas.signal:
            parts |= {"signal": render(canvas.grid, transfer, Scene(light=light)), "size": separation}
        return Rendered(render(canvas.grid, transfer, scene), parts)

    def _galaxy(self, truth: Truth, state: ImagerState, canvas: Canvas) -> Rendered:
        grid, transfer, how = canvas.grid, canvas.transfer(state), _how(truth, "galaxy")
        flux = counts(truth["galaxy_mag"], state)
        re, im = real_spectrum(grid, self.table, truth["galaxy_index"], truth["galaxy_x"], truth["galaxy_y"], *how)
        light = flux[:, None, None]
        own = image(grid, product(transfer, (light * (re * grid.pixel), light * (im * grid.pixel))))
        others = Scene(_sersic(truth, state, *FIELD_GALAXIES), _points(truth, state, *FIELD_STARS))
        parts: dict[str, Any] = {
            "separation": jnp.float32(jnp.nan),
            "noise": noise_variance(grid, transfer, self.table, truth["galaxy_index"], *how, flux),
        }
        if canvas.signal:
            radius = jnp.asarray(self.table.radius)[truth["galaxy_index"].astype(jnp.int32)]
            parts |= {"signal": own, "size": 2 * radius * truth["galaxy_size"]}
        return Rendered(own + render(grid, transfer, others), parts)

    def labels(self, cls: str, truth: Truth, rendered: Rendered, state: ImagerState) -> dict[str, Array]:
        empty = detector.background_variance(state) / state.gain**2
        return {
            "lens": jnp.uint8(cls == "lens_real"),
            "separation": rendered.parts["separation"],
            "added_noise": rendered.parts["noise"] / empty,
        }

    def label_arrays(self) -> tuple[ArraySpec, ...]:
        return (
            ArraySpec("label/lens", (), "uint8", (), "", "meta.code.class", "1 if the field holds a lens"),
            ArraySpec(
                "label/separation", (), "float32", (), "arcsec", "pos.angDistance",
                "largest image separation, NaN for no lens",
            ),
            ArraySpec(
                "label/added_noise", (len(self.bands),), "float32", ("band",), "", "stat.variance",
                "variance added by the noise of the galaxy's image where its stamp is, of an empty pixel's",
                {"band": self.bands},
            ),
        )  # fmt: skip


def _how(truth: Truth, name: str) -> tuple[Array, Array, Array]:
    """angle, flip, size"""
    return truth[f"{name}_angle"], truth[f"{name}_flip"], truth[f"{name}_size"]
