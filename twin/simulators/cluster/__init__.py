"""Clusters of galaxies and the arcs that they make of what lies behind them."""

from twin.simulators.cluster.simulator import Clusters

__all__ = ["Clusters"]
