"""Networks, task heads, posteriors and fitting."""

from twin.train.config import TrainConfig
from twin.train.fit import train
from twin.train.model import Model
from twin.train.prediction import Prediction

__all__ = ["Model", "Prediction", "TrainConfig", "train"]
