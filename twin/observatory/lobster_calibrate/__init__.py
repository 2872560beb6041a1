"""Calibration of a lobster-eye telescope on a bright source: physical parameters from one frame of counts."""
