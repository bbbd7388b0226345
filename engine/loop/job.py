"""What a worker works on: a model's family, and a request under way; knows neither torch nor a queue."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import PIL

from engine.contract import GenerationRequest, Mode, ModelInfo, SpooledImage, Stage, Submit
from engine.families.base import Canvas, Family
from engine.families.lanczos import PlainFamily
from engine.loop.widths import Widths
from engine.pictures import spool
from engine.pictures.decoding import Inputs

SHORT = "Memory was short while this was drawn: drawn again, it may differ in its last bits."


class Loaded:
    """A model that is ready to draw."""

    def __init__(
        self,
        *,
        info: ModelInfo,
        family: Family,
        fingerprint: Mapping[str, str],
        widths: Widths[Picture] | None = None,
        size_bytes: int = 0,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        """Without `widths` its pictures share no forward. `size_bytes` is what its weights take where it computes.

        `enter` is called before the family is asked for anything, where another model was asked last.
        """
        self.info, self.family, self.fingerprint = info, family, fingerprint
        self.widths: Widths[Picture] = Widths() if widths is None else widths
        self.size_bytes, self.enter = size_bytes, enter


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """One submitted request and how far it is."""

    submit: Submit
    work: int
    """UNet calls that each of its images takes."""
    started_at: float | None = None
    told_at: float = float("-inf")
    stage: Stage | None = None
    """The last one that was told."""
    notes: tuple[str, ...] = ()
    inputs: Future[Inputs | None] | None = None
    """What it starts from, being decoded; None where it is words alone."""
    spooled: dict[int, SpooledImage] = field(default_factory=dict[int, SpooledImage])
    is_over: bool = False
    """It has ended, one way or another, and nobody waits for anything of it any more."""

    def note(self, *sentences: str) -> None:
        """Tells whoever asked, each sentence once."""
        self.notes += tuple(sentence for sentence in sentences if sentence not in self.notes)

    def forget(self) -> None:
        """It is over: decodes no more for it, and takes away what was made."""
        self.is_over = True
        if self.inputs is not None:
            self.inputs.cancel()
        for image in self.spooled.values():
            discard(image)

    @property
    def begun(self) -> Inputs | None:
        """What it starts from, decoded. Raises InvalidRequest for files that are no good."""
        return None if self.inputs is None else self.inputs.result()

    @property
    def unread(self) -> tuple[Future[Any], ...]:
        """`inputs`, until they are there."""
        return () if self.inputs is None or self.inputs.done() else (self.inputs,)

    @property
    def total(self) -> int:
        """UNet calls in all, over all images."""
        return self.work * self.request.images

    @property
    def key(self) -> tuple[int, int]:
        return self.submit.job_id, self.submit.attempt

    @property
    def request(self) -> GenerationRequest:
        return self.submit.request


@dataclass(slots=True, eq=False, kw_only=True)
class Picture:
    """One image of a job: what the batcher gives turns to."""

    job: Job
    index: int
    loaded: Loaded | None = None
    """Its model, from when it becomes active."""
    canvas: Canvas | None = None
    alone: bool = False
    """It shares no forward: it was aboard one that failed, and has to show whether it was the cause."""
    set_apart: bool = False
    """Memory was too short for its forwards in wide: it goes on in exact."""
    tried_again: bool = False
    """It had its one second try after running out of memory alone."""
    in_tiles: bool = False
    """Memory was too short to decode it whole, which gives slightly other pixels."""
    modes: set[Mode] = field(default_factory=set[Mode])
    """The modes that its forwards ran in."""
    made_with: Mapping[str, str] = field(default_factory=dict[str, str])
    """What its canvas said when it was decoded."""
    unsafe: float | None = None
    """The highest score that a checker gave it; None where there is none."""
    flagged: bool = False

    @property
    def shape(self) -> Hashable:
        assert self.canvas is not None  # a picture without one has no turns
        return self.job.request.model, self.canvas.shape

    @property
    def by(self) -> Loaded:
        """The model that draws it."""
        assert self.loaded is not None  # nobody is asked to draw before
        return self.loaded

    @property
    def group(self) -> Hashable:
        return (self.shape, self.adapters, self.began_exact, id(self) if self.alone else None)

    @property
    def began_exact(self) -> bool:
        return self.set_apart or "exact" in self.modes

    @property
    def adapters(self) -> Hashable:
        return self.job.request.loras

    @property
    def rows(self) -> int:
        assert self.canvas is not None
        return self.canvas.rows

    @property
    def widest(self) -> int | None:
        assert self.canvas is not None
        return self.canvas.widest

    @property
    def left(self) -> int:
        return 0 if self.canvas is None else self.canvas.left

    @property
    def to_come(self) -> int:
        """UNet calls still to make, also before it has a canvas. Of one that is drawn the batcher knows no more."""
        return self.job.work if self.canvas is None else self.canvas.left

    @property
    def served(self) -> dict[str, str]:
        """What its fingerprint says besides the model's, where it was not drawn in the model's usual way."""
        tiles = {"decode": "tiles"} if self.in_tiles else {}
        if self.modes <= {self.by.widths.mode}:
            return tiles
        return {"mode": " and ".join(sorted(self.modes)), "width": "1 image", **tiles}


def discard(image: SpooledImage) -> None:
    """Takes a picture's file away that nobody will ask for."""
    if (path := image.path or image.aside) is not None:
        spool.discard(path)


def plain(info: ModelInfo) -> Loaded:
    """What enlarges for this model, without loading it."""
    return Loaded(
        info=info,
        family=PlainFamily(info),
        fingerprint={"pillow": PIL.__version__, "mode": "exact", "width": "1 image"},
    )
