"""The canonical telemetry channels that only spectrographs have; see `twin.observatory.kinds.Kind` for the columns."""

from __future__ import annotations

_ALWAYS = (-float("inf"), float("inf"))
_NONE = float("nan")

SPECTRAL: dict[str, tuple[str, float, tuple[float, float], str, str, str]] = {
    "arc_fwhm": (
        "AA", _NONE, (0.001, 500.0), "spect.line.width;instr.calib",
        "FWHM of the calibration lamp's lines at the instrument's reference wavelength",
        "width of the line-spread function",
    ),
    "camera_focus": (
        "um", 0.0, (-5000.0, 5000.0), "instr.offset", "how far the spectrograph's camera was from best focus",
        "width of the line-spread function",
    ),
    "lsf_skew": ("", 0.0, (-1.0, 1.0), "stat.value;spect.line.profile", "skewness of a lamp's lines, positive to the "
        "red", "asymmetry of the line-spread function"),
    "wavelength_zero": ("AA", 0.0, (-100.0, 100.0), "stat.error;em.wl", "wavelength error, middle of the "
        "spectrum", "wavelength solution"),
    "wavelength_scale": ("AA", 0.0, (-100.0, 100.0), "stat.error;em.wl", "wavelength error that changes "
        "sign from end to end", "wavelength solution"),
    "wavelength_bend": ("AA", 0.0, (-100.0, 100.0), "stat.error;em.wl", "quadratic part of the wavelength "
        "error, at the ends", "wavelength solution"),
    "snr": ("", _NONE, (0.01, 1e5), "stat.snr", "signal-to-noise ratio of a pixel, median over the window", "photons"),
    "water_vapour": ("mm", _NONE, (0.0, 100.0), "phys.columnDensity;obs.atmos", "precipitable water above the site",
        "telluric bands of water"),
    "airglow": ("", 1.0, (0.0, 50.0), "instr.skyLevel;arith.ratio", "OH and OI lines of the sky over their usual level",
        "sky lines"),
    "lamps": ("", 1.0, (0.0, 500.0), "instr.skyLevel;arith.ratio", "mercury and sodium lines of the sky over their "
        "usual level", "sky lines"),
    "sky_scale": ("", 0.0, (-1.0, 1.0), "instr.background", "share of the sky that its subtraction left",
        "sky-subtraction residual"),
    "sky_shift": ("AA", 0.0, (-10.0, 10.0), "instr.background", "wavelength shift between the sky that was subtracted "
        "and the fibre's own", "sky-subtraction residual"),
    "sky_width": ("", 0.0, (-1.0, 1.0), "instr.background", "how much wider its lines were, relative",
        "sky-subtraction residual"),
    "air_left_o2": ("", 1.0, (-2.0, 2.0), "phys.absorption;obs.atmos", "share of the O2 optical depth left in the "
        "spectrum", "telluric residual"),
    "air_left_h2o": ("", 1.0, (-2.0, 2.0), "phys.absorption;obs.atmos", "share of the H2O optical depth left in the "
        "spectrum", "telluric residual"),
    **{
        f"flat_{k}": ("", 0.0, _ALWAYS, "stat.error;instr.calib", f"amplitude of {k} half waves along the spectrum, "
            "relative", "flat field and flux calibration")
        for k in range(1, 9)
    },
    "fringe_amplitude": ("", 0.0, (0.0, 1.0), "stat.error;instr.calib", "fringes that the flat field left at the red "
        "end", "fringing"),
    "fringe_phase": ("", 0.0, (-10.0, 10.0), "instr.calib", "their phase in turns", "fringing"),
    "crosstalk": ("", 0.0, (0.0, 1.0), "instr;arith.ratio", "share of a neighbouring fibre's light in the spectrum",
        "fibre cross-talk"),
    "neighbour_brightness": ("", 1.0, (0.0, 1e5), "phot.flux;arith.ratio", "flux of that fibre over this one's",
        "fibre cross-talk"),
    "neighbour_slope": ("", 0.0, (-5.0, 5.0), "phot.color;arith.ratio", "half the difference of ln flux between its "
        "ends", "fibre cross-talk"),
    "ivar_scale": ("", 1.0, (0.01, 100.0), "stat.weight", "inverse variance of the pipeline over the true one",
        "inverse variance"),
}  # fmt: skip
