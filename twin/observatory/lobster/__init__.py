"""Lobster-eye X-ray optics: square pores on a sphere, their point spread function and a photon-by-photon ray tracer."""
