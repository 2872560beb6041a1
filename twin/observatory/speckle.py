"""What a finite exposure leaves of the speckles: a random ellipticity and a random shift of the PSF.

Over an exposure of t seconds frozen layers are blown across the pupil. The PSF is the mean over time and pupil of
exp(i [phi(x + s) - phi(x)]), and with it of the squares of phase differences; what differs from a long exposure is

    a1 = <(d_x^2 - d_y^2)> / 2 D(s),   a2 = <d_x d_y> / D(s),

d the phase difference over a separation s along x or y: the structure function becomes D (1 + a1 cos 2p + a2 sin 2p).
d is Gaussian with covariance s_i s_j G_ij at a lag of tau seconds, G = sum over layers of the Hessian of D_l / 2 at
v_l tau, so that (Isserlis 1918, Biometrika 12, 134)

    var a1 = s^4 / D^2 (2 / t) int_0^t (1 - tau / t) (Gxx^2 + Gyy^2 - 2 Gxy^2) / 2 dtau,
    var a2 = ... (Gxx Gyy + Gxy^2),   cov = ... Gxy (Gxx - Gyy),

and the mean tilt has the covariance (2 / t) int (1 - tau / t) G dtau. All fall as 1 / t once winds have blown through a
few outer scales. Two things are fitted: the one separation s = 0.78 r0 that stands for those which weigh in an
ellipticity, to `twin.observatory.flow` (telescopes of 0.5, 1 and 2.4 m: within 7 %); and how the pupil smooths G, as if
layers passed it at a distance b, to the full integral over pairs of its points (within 2 % for D = 0.5 to 4 m, L0 = 10
to 60 m):

    b^2 = [0.495 D / (1 + 2 D / L0)]^2 + 0.7 s^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma, pi

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from twin.numerics.pupil import annular_otf
from twin.numerics.turbulence import structure_function

ARCSEC = np.pi / 180 / 3600
_SEPARATION = 0.78  # of r0
_NODES = 32  # of the integral over the lag


@dataclass(frozen=True)
class Layers:
    """Turbulence above the telescope, one entry a layer.

    heights        above the telescope [m]
    shares         of r0^(-5/3), sum 1
    speeds         of the wind [m/s]
    directions     where the wind blows to, from x to y of the image [deg]
    outer_scales   [m]; empty = the same for all, as the State says
    """

    heights: tuple[float, ...]
    shares: tuple[float, ...]
    speeds: tuple[float, ...]
    directions: tuple[float, ...]
    outer_scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError."""
        columns = (self.heights, self.shares, self.speeds, self.directions, self.outer_scales or self.heights)
        if len({len(v) for v in columns}) != 1:
            raise ValueError(f"layers: heights, shares, speeds, directions differ in number: {[*map(len, columns)]}")
        if not np.all(np.isfinite([v for column in columns for v in column])):
            raise ValueError("layers: a value is not finite")
        if abs(sum(self.shares) - 1) > 1e-3 or min(self.shares) < 0:
            raise ValueError(f"layers: shares {self.shares} are no parts of 1")
        if min(self.speeds) < 0:
            raise ValueError(f"layers: speeds {self.speeds} m/s: a wind that blows back has another direction")
        if self.outer_scales and min(self.outer_scales) <= 0:
            raise ValueError(f"layers: outer scales {self.outer_scales} m are not all positive")


# heights and shares of Cerro Pachon (Ellerbroek 2002, JOSA A 19, 1803); winds of a night without a strong jet stream
SIX_LAYERS = Layers(
    heights=(0.0, 2580.0, 5160.0, 7730.0, 12890.0, 15460.0),
    shares=(0.652, 0.172, 0.055, 0.025, 0.074, 0.022),
    speeds=(8.0, 9.0, 12.0, 17.0, 25.0, 14.0),
    directions=(20.0, 75.0, 110.0, 150.0, 165.0, 190.0),
)


def winds(layers: Layers, r0_500: Array, tau0: Array, ground: Array, aloft: Array) -> Array:
    """Speeds (L,) [m/s] of the layers on a night of which telemetry tells something; NaN = it does not.

    r0_500, tau0  Fried parameter [m] and coherence time [s] at 500 nm: all speeds are scaled so that
                  (sum of share v^(5/3))^(3/5) = 0.314 r0 / tau0 (Roddier 1981, Progress in Optics 19, 281)
    ground        measured beside the dome [m/s]: the speed of layers below 1 km
    aloft         at 200 mbar [m/s]: scales the layers above 5 km, the one nearest to 12 km having it
    """
    heights, speeds = np.array(layers.heights), jnp.asarray(layers.speeds, jnp.float32)
    jet = layers.speeds[int(np.argmin(np.abs(heights - 12000)))]
    # NaNs are replaced before any arithmetic: derivatives by the other numbers would become NaN as well
    high = jnp.where(jnp.isnan(aloft), jet, aloft) / jet
    low = jnp.where(jnp.isnan(ground), speeds, ground)
    speeds = jnp.where(heights > 5000, speeds * high, jnp.where(heights < 1000, low, speeds))
    speeds = jnp.maximum(speeds, 0.5)  # no night is so calm that turbulence stands still
    shares = jnp.asarray(layers.shares, jnp.float32)
    told = ~jnp.isnan(tau0)  # a NaN on the way not taken would still be one in the gradient
    scale = 0.314 * r0_500 / jnp.where(told, tau0, 1.0) * (shares * speeds ** (5 / 3)).sum() ** -0.6
    return speeds * jnp.where(told, scale, 1.0)


def _fit(order: float, power: float) -> np.ndarray:
    """Polynomial in (y - 1) / (y + 1), y = x^(1/3), of x^power K_order(x), over x^(-1/3) (1 + x)^(power - 1/6) e^-x."""
    from scipy.special import kve

    node = np.cos(np.pi * (np.arange(60) + 0.5) / 60) * 0.97
    x = ((1 + node) / (1 - node)) ** 3
    smooth = x ** (power + 1 / 3) * kve(order, x) * (1 + x) ** (1 / 6 - power)
    return np.polynomial.Polynomial.fit(node, smooth, 12, domain=[-1, 1]).coef


_SIDE, _ALONG = _fit(1 / 6, -1 / 6), _fit(7 / 6, 5 / 6)


def _slopes(x: Array) -> tuple[Array, Array]:
    """S'/x = n x^(-1/6) K_1/6(x) and S'/x - S'' = n x^(5/6) K_7/6(x) of S = 1 - n x^(5/6) K_5/6(x).

    Relative error below 1e-3 for 1e-5 < x < 60.
    """
    y = jnp.cbrt(x)
    t = (y - 1) / (y + 1)
    front = 2 ** (1 / 6) / gamma(5 / 6) * jnp.exp(-x) / y
    one = 1 + x
    return (
        front * one ** (-1 / 3) * jnp.polyval(jnp.asarray(_SIDE[::-1], x.dtype), t),
        front * one ** (2 / 3) * jnp.polyval(jnp.asarray(_ALONG[::-1], x.dtype), t),
    )


def residual(
    layers: Layers,
    diameter: float,
    r0: Array,
    outer_scale: Array,
    exptime: Array,
    speeds: Array | None = None,
) -> tuple[Array, Array]:
    """Covariances (3,): xx, yy, xy of the anisotropy (a1, a2), and of the mean slope of the phase [rad^2/m^2].

    diameter     [m]
    r0           Fried parameter at the wavelength [m], a scalar; vmap over bands
    outer_scale  [m], a scalar, or (L,) one a layer; the layers' own where they have one
    exptime      [s]
    speeds       (L,) [m/s]; None = the layers' own
    """
    speeds = jnp.maximum(jnp.asarray(layers.speeds if speeds is None else speeds, jnp.result_type(float)), 1e-3)
    shares, turn = np.array(layers.shares), 2 * np.deg2rad(layers.directions)
    scale = jnp.broadcast_to(jnp.asarray(layers.outer_scales) if layers.outer_scales else outer_scale, speeds.shape)
    s = _SEPARATION * r0
    b = jnp.hypot(0.495 * diameter / (1 + 2 * diameter / scale), jnp.sqrt(0.7) * s)
    # lags from far below the time to cross b to the whole exposure, in equal steps of ln(1 + tau / first)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    first = 0.3 * b.min() / speeds.max()
    reach = jnp.log1p(exptime / first)
    grown = jnp.exp((node + 1) / 2 * reach)
    tau = first * (grown - 1)
    weight = weight * reach * first * grown * (1 - tau / exptime) / exptime  # with the 2 / t, and half a unit interval
    way = (speeds[:, None] * tau) ** 2  # (L, T)
    r2 = way + b[:, None] ** 2
    k = 2 * pi / scale[:, None]
    side, bend = _slopes(k * jnp.sqrt(r2))
    whole = 0.5 * k**2 * shares[:, None] * structure_function(1e3 * scale, r0, scale)[:, None]
    side, bend = whole * side, whole * bend * way / r2
    xx = (side - 0.5 * bend * (1 + np.cos(turn)[:, None])).sum(0)
    yy = (side - 0.5 * bend * (1 - np.cos(turn)[:, None])).sum(0)
    xy = (-0.5 * bend * np.sin(turn)[:, None]).sum(0)
    phase = (shares * structure_function(s, r0, scale)).sum()
    unit = s**4 / phase**2
    squares = 0.5 * (xx**2 + yy**2) - xy**2, xx * yy + xy**2, xy * (xx - yy)
    shape = jnp.stack([unit * (weight * q).sum() for q in squares])
    return shape, jnp.stack([(weight * q).sum() for q in (xx, yy, xy)])


def draw(normal: Array, covariance: Array) -> Array:
    """Pairs (..., 2) with covariances (..., 3: xx, yy, xy) from two standard normal numbers (..., 2), which broadcast.

    Bands that are exposed at once see the same turbulence: one pair for all. Those exposed in turn need a pair each.
    """
    xx, yy, xy = covariance[..., 0], covariance[..., 1], covariance[..., 2]
    x = jnp.sqrt(jnp.maximum(xx, 1e-20))
    slope = xy / x
    return jnp.stack(
        [x * normal[..., 0], slope * normal[..., 0] + jnp.sqrt(jnp.maximum(yy - slope**2, 0)) * normal[..., 1]], -1
    )


def anisotropy(normal: Array, covariance: Array) -> Array:
    """The State's anisotropy (..., 2) with the covariance of `residual`; its modulus stays below 1, as it must."""
    a = draw(normal, covariance)
    return a / jnp.sqrt(1 + (a * a).sum(-1, keepdims=True))


def motion(normal: Array, covariance: Array, wavelength: Array | float) -> Array:
    """Shift (..., 2) of the image [arcsec] from the covariance (..., 3) of the mean slope that `residual` gives."""
    return draw(normal, covariance) * (wavelength / (2 * pi) / ARCSEC)


def ellipticity_response(
    diameter: float, obscuration: float, wavelength: float, r0: Array, outer_scale: Array, blur: Array | float = 0.0
) -> Array:
    """Ellipticity of the adaptive moments, (a^2 - b^2) / (a^2 + b^2) as `twin.metrics.psf_shape` has it, for an
    anisotropy of 1 (small ones count): first order, without aberrations.

    blur  variance an axis of all Gaussian blur [rad^2]: jitter, pixel^2 / 12

    With W the weight's transform and < > the mean over 2 pi f OTF W df, g = (2 pi sigma f)^2: the weight fits where
    <g> = 1, and de/da = <g D> / 4 / (1 - <8 - 8 g + g^2> / 4).
    """
    share = (np.arange(400) + 0.5) / 400
    f = jnp.asarray(share * diameter / wavelength)
    r = jnp.asarray(share * diameter)
    phase = structure_function(r, r0, outer_scale)
    otf = annular_otf(share, obscuration) * jnp.exp(-0.5 * phase - 2 * (pi * f) ** 2 * blur) * share

    def mean(q: Array, g: Array) -> Array:
        weight = otf * jnp.exp(-0.5 * g)
        return (weight * q).sum() / weight.sum()

    def step(_: int, width: Array) -> Array:
        g = (2 * pi * f) ** 2 * width
        return width / mean(g, g) ** 0.8

    width = jax.lax.fori_loop(0, 60, step, jnp.asarray((0.4 * wavelength / r0) ** 2))
    g = (2 * pi * f) ** 2 * width
    return mean(g * phase, g) / 4 / (1 - mean(8 - 8 * g + g * g, g) / 4)
