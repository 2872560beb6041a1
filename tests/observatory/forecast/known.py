"""Seeing simulated from known parameters, exposure by exposure, with nothing of the filter in it."""

import numpy as np

from twin.observatory.forecast import Exposures, Forecast, model

HIGHEST = 0.7  # arcsec


def parameters(**changed):
    """Unconstrained parameters of a telescope: two processes, mild tails, no jumps, no bursts, no drift."""
    p = {name: np.asarray(value, float) for name, value in model.prior_arrays(2)[0].items()}
    p |= {"level": -0.1, "airmass": 0.5, "wavelength": -0.3, "floor": 0.5, "band": np.array([0.03, -0.03, 0.0])}
    p |= {"times": np.log([5.0, 60.0]), "sizes": np.log([0.06, 0.15]), "noise_rest": np.log(0.02)}
    p |= {"noise_short": np.log(0.03), "tails": np.array([-1.0, -2.0, -3.5]), "jump_rate": -30.0, "bursts": -30.0}
    p |= {"drift": 0.0, "slew": np.log(1e-6), "averaging": 0.0}
    return {name: np.asarray(value, float) for name, value in (p | changed).items()}


def forecast(**changed):
    """A Forecast that knows the truth."""
    return Forecast({name: value[None] for name, value in parameters(**changed).items()}, ("g", "r"), HIGHEST, {})


def nights(rng, n_nights, n_exposures, p):
    """Exposures of many nights at irregular times."""
    times, sizes = np.exp(p["times"]), np.exp(p["sizes"])
    weights = np.exp(np.concatenate([[0.0], p["tails"]]))
    floor = HIGHEST / (1 + np.exp(-p["floor"]))
    rows = []
    for night in range(n_nights):
        minutes = np.cumsum(rng.uniform(1.0, 12.0, n_exposures))
        x = rng.normal(size=len(times)) * sizes
        for k, minute in enumerate(minutes):
            if k:
                fade = np.exp(-(minute - minutes[k - 1]) / times)
                x = x * fade + rng.normal(size=len(times)) * sizes * np.sqrt(1 - fade**2)
            airmass, band, exptime = (
                rng.uniform(1.0, 2.0),
                int(rng.integers(2)),
                float(rng.choice([20.0, 100.0, 300.0])),
            )
            wavelength = (472.0, 641.5)[band]
            r = np.exp(2 * p["noise_rest"]) + np.exp(2 * p["noise_short"]) * 100 / exptime
            noise = np.sqrt(r * rng.choice(model.MULTIPLES, p=weights / weights.sum())) * rng.normal()
            mean = p["level"] + p["airmass"] * np.log(airmass) + p["wavelength"] * np.log(wavelength / 500)
            s = mean + p["band"][band] + x.sum() + noise
            rows.append((night, minute, np.hypot(np.exp(s), floor), airmass, wavelength, exptime, "gr"[band]))
    night, minute, fwhm, airmass, wavelength, exptime, band = map(np.array, zip(*rows, strict=True))
    night = night + 57000
    mjd = night + 0.9 + minute / 1440
    names = np.array([f"e{k}" for k in range(len(night))])
    return Exposures(names, mjd, night, fwhm, airmass, wavelength, exptime, band)
