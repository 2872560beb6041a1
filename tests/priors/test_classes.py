"""What the classes promise of their parameters: lenses that obey their equation, shapes, places and colours."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from scipy import stats

from tests.priors import draws
from twin.priors import fields
from twin.priors import populations as pop

N = draws.N
LAWS = draws.shipped_laws()
LENSES = ("lens_galaxy", "lens_quasar")


@pytest.fixture(scope="module")
def truths(drawn: draws.Drawn) -> dict[str, draws.Values]:
    """The truth of each class, and whatever else its sites were drawn as."""
    return {name: {**sites, **truth} for name, (truth, sites) in drawn.items()}


def is_uniform(u: np.ndarray) -> bool:
    return bool(stats.kstest(u, stats.uniform.cdf).pvalue > 1e-4)


@pytest.mark.parametrize("name", LENSES)
def test_einstein_radius_follows_from_dispersion_and_distances(name: str, truths: dict[str, draws.Values]) -> None:
    """theta_E = 4 pi (sigma / c)^2 D_ls / D_s with astropy's distances, where sigma is not at its limit of 600 km/s."""
    t = truths[name]
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
    assert np.all(t["z_lens"] <= 0.8 * t["z_source"] * (1 + 1e-6))
    # in flat space D_ls (1 + z_s) is the difference of the comoving distances
    ratio = 1 - (cosmology.comoving_distance(t["z_lens"]) / cosmology.comoving_distance(t["z_source"])).value
    theta = np.degrees(4 * np.pi * (t["velocity_dispersion"] / 299792.458) ** 2 * ratio) * 3600
    inside = (t["velocity_dispersion"] > 70) & (t["velocity_dispersion"] < 600)
    assert inside.mean() > 0.95
    assert theta[inside] == pytest.approx(t["theta_E"][inside], rel=2e-5)
    assert np.all(theta[~inside] < t["theta_E"][~inside])


@pytest.mark.parametrize("name", LENSES)
def test_lens_galaxies(name: str, truths: dict[str, draws.Values]) -> None:
    """Axis ratio 1 - q ~ Rayleigh(0.378 - 0.000572 sigma); sizes scatter by 0.11 dex about Hyde & Bernardi's; light
    about Faber-Jackson's as the recipe says; shear N(0, 0.05) a component."""
    t = truths[name]
    sigma, z = t["velocity_dispersion"], t["z_lens"]
    scale = np.clip(0.378 - 0.000572 * sigma, 0.08, 0.35)
    assert is_uniform(stats.rayleigh.cdf(1 - t["lens_q"], scale=scale) / stats.rayleigh.cdf(0.7, scale=scale))
    assert not is_uniform(stats.rayleigh.cdf(1 - t["lens_q"], scale=0.9 * scale))
    v = np.log10(sigma)
    kpc = 10 ** (2.46 - 2.79 * v + 0.84 * v**2)
    size = np.log10(t["lens_radius"] / kpc / np.asarray(pop.arcsec_per_kpc(z.astype(np.float32))))
    assert is_uniform(stats.norm.cdf(size / 0.11))
    assert not is_uniform(stats.norm.cdf(size / 0.13))
    light = t["lens_mag"][:, 1] - np.asarray(pop.early_type_r(*(v.astype(np.float32) for v in (sigma, z))))
    law = LAWS["lens_mag_scatter"]
    assert light == pytest.approx(t["lens_mag_scatter"], abs=2e-5)
    assert np.std(light) == pytest.approx(law.sigma, rel=0.06)
    for gamma in ("gamma1", "gamma2"):
        assert is_uniform(stats.norm.cdf(t[gamma] / 0.05))
        assert not is_uniform(stats.norm.cdf(t[gamma] / 0.06))
    turn = (t["light_angle"] - t["lens_angle"]) / 0.15
    assert is_uniform(stats.norm.cdf(turn))  # light follows mass, to 9 degrees


def test_flux_ratios_of_quasar_images_scatter(truths: dict[str, draws.Values]) -> None:
    """0.35 in ln, and 0.07 by reddening, for each image by itself."""
    t = truths["lens_quasar"]
    for name, sigma in (("image_scatter", 0.35), ("image_reddening", 0.07)):
        assert t[name].shape == (N, 4)
        assert is_uniform(stats.norm.cdf(t[name].ravel() / sigma))
        assert not is_uniform(stats.norm.cdf(t[name].ravel() / (1.15 * sigma)))
        assert np.abs(np.corrcoef(t[name].T) - np.eye(4)).max() < 4 / np.sqrt(N)


def test_galaxies_that_are_no_lenses_are_rounder_than_a_fifth(truths: dict[str, draws.Values]) -> None:
    """1 - q ~ Rayleigh(0.3) cut at q = 0.2 (discs of spirals at 0.35)."""
    for cls, name, low in (
        ("galaxy", "disc_q", 0.2), ("blend", "galaxy_q", 0.2), ("star", "field0_q", 0.2), ("spiral", "disc_q", 0.35),
        ("lens_galaxy", "source_q", 0.2), ("companion", "companion1_q", 0.2),
    ):  # fmt: skip
        flat = 1 - truths[cls][name]
        assert is_uniform(stats.rayleigh.cdf(flat, scale=0.3) / stats.rayleigh.cdf(1 - low, scale=0.3)), name
        assert not is_uniform(stats.rayleigh.cdf(flat, scale=0.33) / stats.rayleigh.cdf(1 - low, scale=0.33)), name


@pytest.mark.parametrize("name", fields.CLASSES)
def test_interlopers_fill_the_frame_but_not_its_middle(name: str, truths: dict[str, draws.Values]) -> None:
    t = truths[name]
    inner, outer = 0.275 * draws.HALF_SIDE, 1.35 * draws.HALF_SIDE
    for k in range(3):
        area = np.hypot(t[f"field{k}_x"], t[f"field{k}_y"]) ** 2
        assert is_uniform((area - inner**2) / (outer**2 - inner**2))
        assert is_uniform(np.arctan2(t[f"field{k}_y"], t[f"field{k}_x"]) / (2 * np.pi) + 0.5)
        there = np.isfinite(t[f"field{k}_mag"][:, 1])
        p = LAWS["field_galaxy" if k == 0 else "field_star"].p
        assert stats.binomtest(int(there.sum()), N, p).pvalue > 1e-4


def test_a_field_galaxy_may_have_its_distance() -> None:
    """As the lens has in whose field an object of ps1-neighbours lies; the stars are anywhere."""
    truth, _ = draws.by_quantiles(draws.program(draws.prior(draws.shipped_laws("ps1-neighbours")), "galaxy"))
    distance, star = (np.hypot(truth[f"field{k}_x"], truth[f"field{k}_y"]) for k in (0, 1))
    assert is_uniform((distance - 6.5) / 3.5)
    assert star.min() < 4


def test_faint_galaxies_are_as_many_as_the_sky_holds(truths: dict[str, draws.Values]) -> None:
    """Below i of 21, 46 x 10^(0.31 (i - 25)) an arcmin^2 and of Poisson's scatter, brightest first, anywhere."""
    t = truths["star"]
    side = 2.2 * draws.HALF_SIDE
    mean = t["faint_density"] * (side / 60) ** 2 * 46  # i < 25 but for those brighter than 21
    i = t["faint_mag"][:, :, 2]
    assert np.all(np.diff(i, axis=1) >= 0)
    assert i.min() >= fields.FAINT_BRIGHTEST
    assert i[:, 0] == pytest.approx(t["faint_mag"][:, 0, 1] - t["faint_ri"][:, 0], abs=1e-4)
    expected = mean * (10 ** (0.31 * (23.0 - 25)) - 10 ** (0.31 * (21 - 25)))
    found = (i < 23.0).sum(1)  # hardly ever all of them
    assert (found == fields.FAINT).mean() < 0.01
    assert found.mean() == pytest.approx(expected.mean(), rel=0.05)
    assert np.var(found - expected) == pytest.approx(expected.mean(), rel=0.1)
    first = mean[:, None] * (10 ** (0.31 * (i - 25)) - 10 ** (0.31 * (21 - 25)))
    assert is_uniform(np.exp(-first[:, 0]))
    assert not is_uniform(np.exp(-1.1 * first[:, 0]))  # a tenth more of them would be seen
    assert is_uniform(np.exp(-(first[:, -1] - first[:, -2])))
    for name in ("faint_x", "faint_y"):
        assert is_uniform((t[name] / side + 0.5).ravel())


def test_blends_hold_a_star_or_a_galaxy_beside_the_first(truths: dict[str, draws.Values]) -> None:
    law = LAWS["blend_distance"]
    for name in ("blend", "quasar_star"):
        t = truths[name]
        star, galaxy = (np.isfinite(t[f"{n}_mag"][:, 1]) for n in ("star1", "galaxy"))
        assert np.all(star ^ galaxy)
        assert stats.binomtest(int(galaxy.sum()), N, LAWS["blend_galaxy"].p).pvalue > 1e-4
        distance = np.hypot(t["star1_x"] - t["star0_x"], t["star1_y"] - t["star0_y"])
        assert stats.kstest(distance, stats.loguniform(law.low, law.high).cdf).pvalue > 1e-4
        assert np.array_equal(t["galaxy_x"], t["star1_x"])
    third = np.isfinite(truths["blend"]["star2_mag"][:, 1])
    assert stats.binomtest(int(third.sum()), N, LAWS["third_star"].p).pvalue > 1e-4
    second = np.isfinite(truths["companion"]["companion1_mag"][:, 1])
    assert stats.binomtest(int(second.sum()), N, LAWS["second_companion"].p).pvalue > 1e-4


@pytest.mark.parametrize(("name", "total"), [("galaxy", "galaxy_mag"), ("spiral", "galaxy_mag")])
def test_bulge_and_disc_add_up_to_the_galaxy(name: str, total: str, truths: dict[str, draws.Values]) -> None:
    t = truths[name]
    light = sum(10 ** (-0.4 * t[part][:, 1]) for part in ("bulge_mag", "disc_mag"))
    assert -2.5 * np.log10(light) == pytest.approx(t[total], abs=2e-3)  # a share below 1e-3 counts as 1e-3
    assert np.all(t["bulge_radius"] < t["disc_radius"])


def test_stars_lie_on_the_locus_or_are_m_dwarfs(truths: dict[str, draws.Values]) -> None:
    g, r, i = truths["star"]["star0_mag"].T
    dwarf = truths["star"]["star0_m"] == 1
    assert stats.binomtest(int(dwarf.sum()), N, LAWS["m_dwarf"].p).pvalue > 1e-4
    off = (r - i) - np.asarray(pop.stellar_locus((g - r).astype(np.float32)))
    assert is_uniform(stats.norm.cdf(off[~dwarf] / 0.04))
    assert is_uniform(stats.norm.cdf((g - r)[dwarf] - 1.45, scale=0.06))
    late = ((r - i)[dwarf] - 0.5) / 1.7
    assert is_uniform(1 - (1 - late**1.2) ** 2)
    assert 0.5 <= (r - i)[dwarf].min() <= (r - i)[dwarf].max() <= 2.2


def test_only_lenses_have_an_einstein_radius(truths: dict[str, draws.Values]) -> None:
    assert {name for name, t in truths.items() if "theta_E" in t} == set(LENSES)
