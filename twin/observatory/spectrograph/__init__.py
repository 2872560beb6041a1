"""Fibre and slit spectrographs: telemetry -> State -> line-spread function, sky and noise."""
