"""Observed galaxies as light of simulated fields: deconvolved once, then turned, scaled and seen through any PSF."""
