"""Sources in count images of a known PSF: what is found, how sure that is, and training the network that says so."""
