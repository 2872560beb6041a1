"""The test of likeness: how well can real frames be told from simulated ones, and by what."""

from twin.evaluate.likeness.run import Likeness, compare, likeness

__all__ = ["Likeness", "compare", "likeness"]
