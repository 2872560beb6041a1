"""The `train:` section of a recipe whose networks find sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twin.train.config import Count, NotNegative, Positive, Probability, Section


class DetectorConfig(Section):
    """All keys but `kind` are optional.

    members      networks of the ensemble
    samples      fields simulated for training, what their candidates say kept in memory; validation  further ones for
                 calibration
    batch        candidates a step;  steps, minutes, learning_rate, weight_decay, clip, warmup, ema   as of any training
    width, blocks  width and residual blocks of the network
    slices       parts of the exposure in which the counts are shown as well; 0: time is not looked at
    mistaken     greatest share of another exposure's PSF in the one that a field is said to have: what is known of a
                 telescope is never right; half of the fields are told to have their own
    blind        share of candidates shown without energies, and without times: images may have neither
    """

    kind: Literal["detector"]
    members: Annotated[int, Field(ge=1, le=16)] = 4
    samples: Count = 16384
    validation: Count = 2048
    batch: Count = 1024
    steps: Count = 8000
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.01
    clip: Positive = 1.0
    warmup: Probability = 0.03
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    width: Annotated[int, Field(ge=8, multiple_of=8)] = 128
    blocks: Annotated[int, Field(ge=1, le=16)] = 3
    slices: Annotated[int, Field(ge=0, le=64)] = 8
    mistaken: Probability = 0.4
    blind: Probability = 0.15
    minutes: Positive = 60.0
    checkpoint_seconds: Positive = 90.0
