"""Lens models: one file a profile, `compound.Mass` for any number of each, `multiplane` for several redshifts."""
