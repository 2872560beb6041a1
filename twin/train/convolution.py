"""A convolution that stays fast under `vmap` over its weights.

`vmap` over the kernels of `lax.conv_general_dilated` makes one grouped convolution, which XLA's CPU backend runs about
three times slower than the members' own convolutions one after the other; `lax.map` over members is thirty times
slower. Here `vmap` unrolls into plain convolutions, and everything around them is still batched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Operand = Any
Convolution = Callable[[jax.Array, jax.Array], jax.Array]


def member_convolution(inputs: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any) -> jax.Array:
    """`lax.conv_general_dilated(inputs, kernel, strides, padding, **options)`: pass it to `nnx.Conv`."""
    return _build(tuple(strides), _frozen(padding), tuple(sorted(options.items())))(inputs, kernel)


def _frozen(padding: Any) -> Any:
    return padding if isinstance(padding, str) else tuple(tuple(pair) for pair in padding)


@cache
def _build(strides: tuple[int, ...], padding: Any, options: tuple[tuple[str, Any], ...]) -> Convolution:
    def plain(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(inputs, kernel, strides, padding, **dict(options))

    def pull_back(inputs: jax.Array, kernel: jax.Array, out: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vjp(plain, inputs, kernel)[1](out)

    forward, backward = _unrolled(plain), _unrolled(pull_back)
    conv = jax.custom_vjp(lambda inputs, kernel: forward(inputs, kernel))
    conv.defvjp(
        lambda inputs, kernel: (forward(inputs, kernel), (inputs, kernel)), lambda saved, out: backward(*saved, out)
    )
    return conv


def _unrolled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function; under vmap it runs once for each element instead of being batched."""
    mapped = jax.custom_batching.custom_vmap(function)

    @mapped.def_vmap
    def rule(size: int, batched: list[bool], *args: Operand) -> tuple[Any, Any]:
        each = [
            mapped(*(arg[i] if is_batched else arg for arg, is_batched in zip(args, batched, strict=True)))
            for i in range(size)
        ]
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
        return stacked, jax.tree.map(lambda _: True, each[0])

    return mapped
