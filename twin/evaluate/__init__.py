"""Models held against observations: benchmarks, catalogues, reports."""

from twin.evaluate.predict import predict
from twin.evaluate.registry import evaluate

__all__ = ["evaluate", "predict"]
