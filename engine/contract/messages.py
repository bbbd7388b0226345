"""What crosses the process boundary: controls into the engine, events out of it, and its exit codes. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, cast

from engine.contract.models import ModelInfo
from engine.contract.requests import GenerationRequest

_OF_WEIGHTS = frozenset({"weights", "decoder"})
EXIT_OK = 0
EXIT_DEVICE_LOST = 70
"""The GPU is in a state no later call recovers from; a new generation may work."""
EXIT_HOST_LOST = 71
"""Nothing is heard any more of the host on which the engine ran; a new generation may find another."""
EXIT_BROKEN = 78
"""`Broken` was sent: starting again would not help."""


# ------------------------------------------------------------------ controls: into the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    job_id: int
    attempt: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    job_id: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Makes a model ready before anybody wants it, as soon as nothing else is to be loaded."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """Gives a model's memory back once the pictures that are begun are finished; who wants it then has it loaded again."""

    model: str | None = None
    """None: all of them."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


Control = Submit | Cancel | Load | Unload | Shutdown


# ------------------------------------------------------------------ events: out of the engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The engine is getting ready. `models` is filled as soon as they are described, before weights load."""

    stage: str
    """A few words for people: "downloading stable-diffusion-v1-5", "loading UNet"."""
    fraction: float | None = None
    """0 … 1 of this stage, None when unknown."""
    models: tuple[ModelInfo, ...] = ()
    reading: str | None = None
    """The id of the model whose files are being read: what to blame where the engine dies of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The first model is loaded."""

    device: str
    """For people, such as "NVIDIA GeForce RTX 3060 (12 GB)" or "CPU (2 threads)"."""
    dtype: str
    models: tuple[ModelInfo, ...]
    slots: int
    fingerprint: Mapping[str, str]
    """Equality of pixels is promised between engines with equal fingerprints."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the log: what each mode costs and brings on this machine."""
    together: int = 1
    """So many pictures that may share a forward are drawn in little more time than one."""

    @property
    def kind(self) -> str:
        """The fingerprint but for its model's weights, in a few letters: equal on engines that draw the same pixels."""
        told = sorted(entry for entry in self.fingerprint.items() if entry[0] not in _OF_WEIGHTS)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Other models are loaded than before, or one that was to be made ready is."""

    models: tuple[str, ...]
    """The ids of all that are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferChanged:
    """LoRAs came or went: what all models offer from now on."""

    models: tuple[ModelInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoaded:
    """What somebody wanted to be made ready can't be; `reason` is a sentence."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """This engine can't work and starting it again would not help; `reason` is a sentence that says what to do."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    job_id: int
    attempt: int


Stage = Literal["waiting", "loading", "encoding", "denoising", "decoding", "saving"]
"""What is done next for a job: its model is loaded first where it is not; saving goes on behind whatever else is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """Progress of a job, over all its images."""

    job_id: int
    attempt: int
    stage: Stage
    step: int
    """UNet calls done, over all images of the job."""
    steps: int
    """UNet calls in all."""
    seconds_left: float | None = None
    """Until the job is done, by the engine's own pace."""
    preview: bytes | None = None
    """A small JPEG of the image drawn last, every few steps."""

    @property
    def fraction(self) -> float:
        return min(1.0, self.step / max(1, self.steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledImage:
    """A finished image in the spool. Only one that has a `path` may be shown to anybody."""

    seed: int
    path: str | None
    """None where a safety checker flagged it."""
    aside: str | None = None
    """Where a flagged one lies, until somebody decides what becomes of it."""
    unsafe: float | None = None
    """What the checkers made of it: 0, safe, to 1; None where nobody looked."""
    sha256: str = ""
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    flagged: bool = False
    drawn_by: str = ""
    """The kind of the engine that drew it (`Ready.kind`): the bot's note; "" where nobody made one."""

    @classmethod
    def stored(cls, values: Any) -> Self:
        """Inverse of `asdict`; keys of other versions are ignored, and one without a file was withheld."""
        told = cast("dict[str, Any]", values) if isinstance(values, dict) else {}
        known = {entry.name: told[entry.name] for entry in fields(cls) if entry.name in told}
        whole: dict[str, Any] = {"seed": 0, "path": None} | known
        return cls(**whole)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    job_id: int
    attempt: int
    images: tuple[SpooledImage, ...]
    """One entry per image of the request, in order."""
    seconds: float
    """From the first step to the last spooled image."""
    notes: tuple[str, ...] = ()
    """Sentences for the person who asked, such as where the prompt was cut."""
    forwards: int = 0
    """UNet forwards that the engine made, for whomever, since it told of the last finished job."""
    rows: int = 0
    """Of pictures in them, all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """This request failed alone; the engine goes on. `reason` is a plain sentence."""

    job_id: int
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    job_id: int
    attempt: int
    done: float = field(default=0.0)
    """Share of the request's UNet calls already made, 0 … 1."""


Event = (
    Loading
    | Ready
    | Resident
    | OfferChanged
    | NotLoaded
    | Broken
    | Started
    | Stepped
    | Finished
    | Failed
    | Cancelled
)
