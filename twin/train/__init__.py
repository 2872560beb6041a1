"""Networks, task heads, posteriors and fitting."""
