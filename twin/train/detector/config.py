"""The `train:` section of a recipe whose networks find sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twin.train.config import Count, NotNegative, Positive, Probability, Section


class DetectorConfig(Section):
    """All keys but `kind` are optional.

    members      networks of the ensemble
    samples      fields simulated for training, their features kept in memory; validation  further ones for calibration
    extra        mean number of sources added to each training field: of the recipe's own too few are bright enough to
                 learn from. Counts log-uniform from 20 to 3,000, over all of the PSF; held-out fields have none
    batch, steps, minutes, learning_rate, weight_decay, clip, warmup, ema   as of any training
    width, blocks  channels and residual blocks of the network
    arms         light of bright sources outside their cores, in standard deviations of the background's counts in a
                 subtile, from which the subtile is called an artefact
    """

    kind: Literal["detector"]
    members: Annotated[int, Field(ge=1, le=16)] = 2
    samples: Count = 8192
    validation: Count = 1024
    extra: NotNegative = 6.0
    batch: Count = 8
    steps: Count = 8000
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.01
    clip: Positive = 1.0
    warmup: Probability = 0.03
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 64
    blocks: Annotated[int, Field(ge=1, le=16)] = 4
    arms: Positive = 1.0
    minutes: Positive = 60.0
    checkpoint_seconds: Positive = 90.0
