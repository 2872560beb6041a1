"""Sources in frames of X-ray counts: detectors that need no training, and how they are compared."""
