"""What a photon-counting CMOS sensor is: declared as data, for Einstein Probe's where nothing else is said."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SensorConfig(BaseModel):
    """A sensor. Defaults: WXT's and LEIA's 6 x 6 cm CMOS (4096 x 4096 pixels of 15 um, 0.05 s, from EP's own headers).

    The energy resolution of LEIA's four, 120-140 eV at 1.25 keV and 170-190 eV at 4.5 keV FWHM (Cheng+ 2024,
    arXiv:2312.06964), is Fano's noise, 9 pixels' read noise of 4.6 electrons and a spread of gain of 0.8 %
    (`energy_sigma`). The cloud and the split threshold give the grades of the real WXT lists of EP240219a: of 351
    events 46 % single, 44 % double, 6 % triple and 4 % squares.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    side: int = Field(4096, gt=2, description="pixels on a side")
    pixel: float = Field(15.0, gt=0, description="pitch [um]")
    frame_time: float = Field(0.05, gt=0, description="[s]")
    pair: float = Field(3.65, gt=0, description="energy of an electron-hole pair in silicon [eV]")
    fano: float = Field(0.118, ge=0, description="Fano factor of silicon (Lowe & Sareen 2007, NIM A 576, 367)")
    read_noise: float = Field(4.6, ge=0, description="of a pixel [electron]")
    gain_spread: float = Field(0.008, ge=0, description="standard deviation of pixels' gains")
    cloud: float = Field(1.6, ge=0, description="standard deviation of a photon's charge cloud [um]")
    event_threshold: float = Field(200.0, gt=0, description="least charge of an event's brightest pixel [eV]")
    split_threshold: float = Field(85.0, gt=0, description="charge from which a neighbour belongs to the event [eV]")
    depth: float = Field(10.0, gt=0, description="sensitive thickness [um]: what a particle crosses")
    channel: float = Field(10.0, gt=0, description="width of a PI channel [eV], channel 0 from 0 eV")
    channels: int = Field(1024, gt=1)
    hot_pixels: float = Field(2e-6, ge=0, le=1, description="share of pixels that flicker after screening")
    hot_columns: int = Field(0, ge=0, description="columns that flicker after screening")
    hot_rate: float = Field(0.02, ge=0, description="mean rate of a flickering pixel or column [1/s], exponential")
    hot_energy: float = Field(150.0, gt=0, description="mean excess of a flicker over the threshold [eV]")
    leak: float = Field(0.0, ge=0, description="optical light at the brightest edge [electron/pixel/frame]")
    track_rate: float = Field(0.0, ge=0, description="minimum-ionising particles [1/cm2/s]")
    serial: int = Field(0, ge=0, description="which sensor: its defects are fixed by this number")

    @model_validator(mode="after")
    def _ordered(self) -> SensorConfig:
        if self.split_threshold > self.event_threshold:
            raise ValueError("split_threshold is above event_threshold")
        if self.hot_columns > self.side:
            raise ValueError(f"hot_columns: the sensor has {self.side}")
        return self

    @property
    def area(self) -> float:
        """[cm2]."""
        return (self.side * self.pixel * 1e-4) ** 2
