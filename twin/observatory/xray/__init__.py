"""A CMOS sensor that counts X-ray photons: charge, grades, energies, pile-up, defects and background."""

from twin.observatory.xray.background import BackgroundConfig, Clumps, diffuse_shape, particle_factor
from twin.observatory.xray.charge import Pulses, deposit_photons, find_pulses, grade_fractions
from twin.observatory.xray.config import SensorConfig
from twin.observatory.xray.energy import built_rmf, channels, energy_sigma
from twin.observatory.xray.sensor import Exposed, expose_photons

__all__ = [
    "BackgroundConfig",
    "Clumps",
    "Exposed",
    "Pulses",
    "SensorConfig",
    "built_rmf",
    "channels",
    "deposit_photons",
    "diffuse_shape",
    "energy_sigma",
    "expose_photons",
    "find_pulses",
    "grade_fractions",
    "particle_factor",
]
