"""Fields of X-ray sources before a lobster eye: photons, events, frames and labels of one exposure."""
