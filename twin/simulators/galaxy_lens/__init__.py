"""Galaxy-scale lenses of any mass model before galaxies, quasars and supernovae."""
