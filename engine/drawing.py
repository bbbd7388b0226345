"""What a worker works on: the interface of a model family, and a request under way; knows neither torch nor a queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from PIL import Image

from engine.contract import GenerationRequest, SpooledImage, Submit


class DeviceLost(Exception):
    """The GPU can't be used any more by this process; it must end."""


class Canvas(Protocol):
    """One picture under way; what else it holds is its family's business."""

    @property
    def left(self) -> int:
        """UNet calls still to make."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person who asked."""
        ...


Painted = TypeVar("Painted", bound=Canvas)


class Family(Protocol[Painted]):
    """How one model draws."""

    def prepare(self, request: GenerationRequest, seed: int) -> Painted:
        """A canvas full of this seed's noise, with its prompts encoded and its own sampler and generator."""
        ...

    def denoise(self, canvas: Painted) -> None:
        """One UNet forward and one step of the sampler."""
        ...

    def decode(self, canvas: Painted) -> Image.Image | None:
        """The picture; None where the safety checker withholds it."""
        ...

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        """A sentence for the person whose request met this error; raises DeviceLost where nobody's could go on."""
        ...


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """One submitted request and how far it is."""

    submit: Submit
    total: int
    """UNet calls in all, over all images."""
    done: int = 0
    started_at: float | None = None
    told_at: float = float("-inf")
    notes: tuple[str, ...] = ()
    spooled: dict[int, SpooledImage] = field(default_factory=dict[int, SpooledImage])

    @property
    def key(self) -> tuple[int, int]:
        return self.submit.job_id, self.submit.attempt

    @property
    def request(self) -> GenerationRequest:
        return self.submit.request


@dataclass(slots=True, eq=False, kw_only=True)
class Picture(Generic[Painted]):
    """One image of a job: what the batcher gives turns to."""

    job: Job
    index: int
    canvas: Painted | None = None
