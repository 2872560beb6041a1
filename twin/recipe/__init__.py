"""Recipe: priors + simulator + instrument composed into one NumPyro program, and batched into shards.

`Recipe.model(exposure, obs)` is the program, `Recipe.sample(key, exposure)` its simulation: a pure JAX function.
`Recipe.shard(seed, shard, count)` is everything else: the batch axis is sharded over a mesh of all local devices.
"""

from twin.recipe.batches import MICROBATCH, QUANTUM
from twin.recipe.config import FrameConfig, RecipeConfig
from twin.recipe.program import Sample
from twin.recipe.recipe import Recipe, list_recipes, load_recipe

__all__ = [
    "MICROBATCH",
    "QUANTUM",
    "FrameConfig",
    "Recipe",
    "RecipeConfig",
    "Sample",
    "list_recipes",
    "load_recipe",
]
