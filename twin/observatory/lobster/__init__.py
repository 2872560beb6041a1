"""Lobster-eye X-ray optics: square pores on a sphere."""
