"""What an instrument's YAML may say of its detector."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from twin.schema import quantity


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DetectorConfig(_Strict):
    """The detector, for one exposure."""

    gain: Annotated[float, quantity("e-/ct", gt=0)] = 1.0
    read_noise: Annotated[float, quantity("e-", ge=0)]
    bias: Annotated[float, quantity("ct", ge=0)] = 0.0  # keeps the read noise of a dark pixel above zero counts
    dark: Annotated[float, quantity("e-/s/px", ge=0)] = 0.0
    saturation: Annotated[float, quantity("e-", gt=0)]
    diffusion: Annotated[float, quantity("px", ge=0)] = 0.0  # standard deviation of the charge's sideways drift
