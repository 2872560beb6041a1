"""The `train:` section of a recipe: network, heads, augmentation and fitting, declared as data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Binary(Section):
    """Yes or no: sigmoid and cross-entropy. The label is 0 or 1."""

    kind: Literal["binary"]
    label: str
    weight: NotNegative = 1.0


class Binned(Section):
    """A density over logarithmic bins: softmax and cross-entropy, only where the label is finite.

    low, high  outer edges in the label's unit; labels beyond them count as the outermost bin
    soften     width in bins of the Gaussian that the label is spread with; 0 = all in its own bin
    """

    kind: Literal["binned"]
    label: str
    low: Positive = 0.3
    high: Positive = 8.0
    bins: Annotated[int, Field(ge=2)] = 96
    soften: NotNegative = 0.5
    weight: NotNegative = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high <= self.low:
            raise ValueError(f"high ({self.high:g}) must be greater than low ({self.low:g})")
        return self


class Categorical(Section):
    """One of several classes, an auxiliary task: softmax and cross-entropy. The label is an index below `classes`."""

    kind: Literal["categorical"]
    label: str
    classes: Annotated[int, Field(ge=2)]
    weight: NotNegative = 0.3


Head = Annotated[Binary | Binned | Categorical, Field(discriminator="kind")]


class Network(Section):
    """A residual network over `patch` x `patch` pixels folded into channels.

    widths  channels of each stage; every stage after the first halves the image
    blocks  residual blocks of each stage, as many entries as widths
    hidden  units of the dense layer that all heads share
    norm    group (over the image and a group of 8 channels) or layer (over the channels of a pixel)
    """

    patch: Annotated[int, Field(ge=1, le=4)] = 2
    widths: tuple[Count, ...] = Field(default=(24, 48, 96), min_length=1)
    blocks: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(1, 2, 1), min_length=1)
    hidden: Count = 192
    norm: Literal["group", "layer"] = "group"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.blocks) != len(self.widths):
            raise ValueError(f"blocks has {len(self.blocks)} entries, widths has {len(self.widths)}")
        odd = [width for width in self.widths if width % 8]
        if odd:
            raise ValueError(f"widths must be multiples of 8, not {odd[0]}")
        return self


class Augment(Section):
    """What a real telescope could have changed.

    flip   the eight flips and quarter turns
    shift  largest error of the centring, pixels a side; each whole number as likely
    gain   scatter of the zero point of each band: counts and noise times exp(gain * normal)
    noise  highest factor by which added noise may raise the rms; the factor is even in its logarithm from 1
    noise_probability   part of the frames that get it
    """

    flip: bool = True
    shift: Annotated[int, Field(ge=0, le=8)] = 1
    gain: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    noise: Annotated[float, Field(ge=1, le=20)] = 2.0
    noise_probability: Probability = 0.5


def _default_heads() -> dict[str, Head]:
    return {
        "lens": Binary(kind="binary", label="label/lens"),
        "separation": Binned(kind="binned", label="label/separation"),
    }


class TrainConfig(Section):
    """All keys are optional.

    members      networks of the ensemble
    samples      samples simulated for training, kept in memory; not used with a dataset
    validation   further samples simulated for the held-out scores
    batch        samples a member sees in a step
    steps        optimiser steps; fixed, so that a training can be repeated
    minutes      time that the training may take; a warning says when it will not do
    crop         pixels a side of the input
    centre_band  band whose peak is the centre
    learning_rate, weight_decay, clip   AdamW at its highest rate, and the largest gradient norm
    warmup       part of the steps in which the rate rises linearly; it falls to zero as a cosine after that
    ema          decay per step of the running mean of the weights, which is what is kept; 0 = the last weights
    outliers     least share of the separation's density that is spread over all separations: what of the sky is like no
                 simulation
    checkpoint_seconds   time between checkpoints
    """

    members: Annotated[int, Field(ge=1, le=64)] = 4
    samples: Count = 200_000
    validation: Count = 4096
    batch: Count = 64
    steps: Count = 10_000
    minutes: Positive = 60.0
    crop: Annotated[int, Field(ge=8)] = 40
    centre_band: str = "r"
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.02
    clip: Positive = 1.0
    warmup: Probability = 0.03
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999
    outliers: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    checkpoint_seconds: Positive = 90.0
    network: Network = Network()
    augment: Augment = Augment()
    heads: dict[str, Head] = Field(default_factory=_default_heads)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        kinds = [head.kind for head in self.heads.values()]
        if kinds.count("binary") != 1 or kinds.count("binned") != 1 or kinds.count("categorical") > 1:
            raise ValueError("heads needs one of kind binary, one of kind binned and at most one categorical")
        shrink = self.network.patch * 2 ** (len(self.network.widths) - 1)
        if self.crop % self.network.patch or self.crop < shrink:
            raise ValueError(f"a crop of {self.crop} cannot be cut into patches and halved to a factor of {shrink}")
        return self
