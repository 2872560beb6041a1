"""The networks. Group or layer normalisation only: what a network says of one frame never depends on another."""

from __future__ import annotations

from functools import partial

import jax
from flax import nnx

from twin.train.config import Network, TrainConfig
from twin.train.convolution import member_convolution
from twin.train.heads import head_size

CHANNELS_A_GROUP = 8


def _norm(kind: str, width: int, rngs: nnx.Rngs) -> nnx.Module:
    if kind == "layer":
        return nnx.LayerNorm(width, rngs=rngs)
    return nnx.GroupNorm(width, num_groups=width // CHANNELS_A_GROUP, rngs=rngs)


class Block(nnx.Module):
    """Two 3x3 convolutions and a shortcut; with stride 2, or another width, the shortcut is a 1x1 convolution."""

    def __init__(self, inside: int, outside: int, stride: int, norm: str, rngs: nnx.Rngs) -> None:
        conv = partial(nnx.Conv, use_bias=False, conv_general_dilated=member_convolution, rngs=rngs)
        self.conv1 = conv(inside, outside, (3, 3), strides=stride)
        self.norm1 = _norm(norm, outside, rngs)
        self.conv2 = conv(outside, outside, (3, 3))
        self.norm2 = _norm(norm, outside, rngs)
        same = stride == 1 and inside == outside
        self.shortcut = None if same else conv(inside, outside, (1, 1), strides=stride)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.gelu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return nnx.gelu(y + (x if self.shortcut is None else self.shortcut(x)))


class LensNet(nnx.Module):
    """(n, y, x, channel) -> {head: (n, outputs)} logits. Patches of pixels are channels of the first layer."""

    def __init__(self, size: int, inputs: int, config: Network, outputs: dict[str, int], rngs: nnx.Rngs) -> None:
        self.patch = config.patch
        width = config.widths[0]
        self.stem = nnx.Conv(
            inputs * config.patch**2, width, (3, 3), conv_general_dilated=member_convolution, rngs=rngs
        )
        self.stem_norm = _norm(config.norm, width, rngs)
        blocks = []
        side = size // config.patch
        for stage, (wide, count) in enumerate(zip(config.widths, config.blocks, strict=True)):
            strides = ([] if stage == 0 else [2]) + [1] * count
            for stride in strides:
                blocks.append(Block(width, wide, stride, config.norm, rngs))
                width, side = wide, -(-side // stride)
        self.blocks = nnx.List(blocks)
        self.dropout = nnx.Dropout(config.dropout)
        self.dense = nnx.Linear(side * side * width, config.hidden, rngs=rngs)
        self.dense_norm = nnx.LayerNorm(config.hidden, rngs=rngs)
        self.heads = nnx.Dict({name: nnx.Linear(config.hidden, wide, rngs=rngs) for name, wide in outputs.items()})

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> dict[str, jax.Array]:
        n, ny, nx, _ = x.shape
        p = self.patch
        x = x.reshape(n, ny // p, p, nx // p, p, -1).transpose(0, 1, 3, 2, 4, 5).reshape(n, ny // p, nx // p, -1)
        x = nnx.gelu(self.stem_norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        x = nnx.gelu(self.dense_norm(self.dense(x.reshape(n, -1))))
        x = self.dropout(x, deterministic=key is None, rngs=key)
        return {name: head(x) for name, head in self.heads.items()}


def build(config: TrainConfig, bands: int, rngs: nnx.Rngs) -> LensNet:
    """The network that a recipe's `train:` section describes, for frames of so many bands."""
    outputs = {name: head_size(head) for name, head in config.heads.items()}
    return LensNet(config.crop, 3 * bands, config.network, outputs, rngs)
