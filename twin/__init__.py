"""twin: training data that a real telescope could have taken, and networks that know what they do not know.

`twin.State` (what an imager is like during one exposure) and `twin.psf` (its point spread functions) are the digital
twin's main names; they are imported on first use, so that `import twin` stays instant.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["State", "__version__", "psf"]

_LAZY = {"State": ("twin.observatory.state", "ImagerState"), "psf": ("twin.observatory.psf", None)}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'twin' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
