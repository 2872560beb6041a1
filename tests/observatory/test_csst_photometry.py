"""Zero points of CSST from the emulator's throughputs, and its sky from the sources that a YAML may name."""

import gzip
import io

import jax.numpy as jnp
import numpy as np
import pytest

from twin.observatory import sky
from twin.observatory.imager import load_instrument

PUBLISHED = {"nuv": 24.87, "u": 25.30, "g": 26.32, "r": 26.18, "i": 25.96, "z": 25.27, "y": 23.98}  # reference/csst.md
PLANCK = 6.62607015e-27  # [erg s]


def throughput(folder, band):
    from astropy.io import fits

    raw = (folder / "imaging" / "csst_reference" / f"CESS__csst_phot.{band}.fits.gz").read_bytes()
    with fits.open(io.BytesIO(gzip.decompress(raw))) as hdus:
        return np.asarray(hdus[1].data["WAVELENGTH"], float), np.asarray(hdus[1].data["SENSITIVITY"], float)


@pytest.mark.real
def test_zero_points_are_those_of_the_throughputs(real_data):
    """Electrons a second of AB = 0 through 2 m: integral of 3.631e-20 erg/s/cm2/Hz area S / (h lambda) dlambda."""
    csst = load_instrument("csst")
    area = np.pi * (100 * csst.config.diameter / 2) ** 2 * (1 - csst.config.obscuration**2)
    state = csst.state(jnp.asarray(csst.draw_exposures(0, 1)[0]))
    exptime = np.asarray(state.exptime, float)
    for b, (name, band) in enumerate(csst.config.bands.items()):
        wavelength, sensitivity = throughput(real_data, name)
        rate = np.trapezoid(3.631e-20 * area * sensitivity / (PLANCK * wavelength), wavelength)
        found = 2.5 * np.log10(rate)
        assert found == pytest.approx(band.zero_point, abs=0.05), name
        assert found == pytest.approx(PUBLISHED[name], abs=0.05), name
        counted = float(state.zero_point[b]) - 2.5 * np.log10(exptime[b] / float(state.gain[b]))
        assert counted == pytest.approx(found, abs=0.05), name


def test_sky_of_csst_is_zodiacal_light_and_earthshine():
    """The published e-/s/pixel are those of a high background: zodiacal light of the ecliptic at 105 deg from the sun
    (22.1 mag/arcsec^2 in V, as HST's handbooks call high) and an earthshine of 23 mag/arcsec^2 give them, u to y."""
    csst = load_instrument("csst")
    published = {
        channel.name: channel.centre for channel in csst.telemetry_channels if channel.kind == "sky_brightness"
    }
    wavelengths = tuple(band.wavelength * 1e-9 for band in csst.config.bands.values())
    light = sky.zodiacal_intensity(jnp.float32(105), jnp.float32(0), wavelengths)
    model = -2.5 * np.log10(np.asarray(light + sky.earthshine_intensity(23.0, jnp.float32(1), wavelengths)))
    for found, (name, value) in zip(model, published.items(), strict=True):
        if name != "sky_brightness_nuv":  # half a magnitude apart: Leinert's light is redder there than the sun
            assert found == pytest.approx(value, abs=0.25), name
