"""What a worker works on: a model's family, and a request under way; knows neither torch nor a queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic

import PIL

from engine.contract import GenerationRequest, Mode, ModelInfo, SpooledImage, Stage, Submit
from engine.families.base import Family, Painted
from engine.families.lanczos import PlainCanvas, PlainFamily
from engine.loop.pace import Pace
from engine.loop.recent import Recent
from engine.loop.widths import NotNow, Widths
from engine.pictures import spool
from engine.pictures.decoding import Inputs

_log = logging.getLogger("easel.engine")
PACES = 64
"""Sizes of a model whose pace is remembered."""
SHORT = "Memory was short while this was drawn: drawn again, it may differ in its last bits."


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the pictures of a model share forwards."""

    mode: Mode = "exact"
    rows: int = 2
    """Rows that a forward has at most in wide and fast."""


class Loaded(Generic[Painted]):
    """A model that is ready to draw."""

    def __init__(
        self,
        *,
        model: ModelInfo,
        family: Family[Painted],
        manner: Manner,
        fingerprint: Mapping[str, str],
        size_bytes: int = 0,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        """`size_bytes` is what its weights take where it computes. `enter` is called before the family is asked for
        anything, where another model was asked last.
        """
        self.model, self.family, self.fingerprint = model, family, fingerprint
        self.size_bytes, self.enter = size_bytes, enter
        self.paces: Recent[str, Pace] = Recent(Pace, PACES)
        self.widths: Widths[Picture[Painted]] = Widths(manner.mode, manner.rows, self._equal_widths)

    def _equal_widths(self, picture: Picture[Painted], rows: int) -> Sequence[int] | None:
        assert picture.canvas is not None
        self.enter()  # whoever leads the next forward is asked before it
        try:
            return self.family.equal_widths(picture.canvas, rows)
        except Exception as error:
            # Frees what it can, and knows when all is lost. The forward in exact, which comes next, meets what is really wrong.
            if self.family.is_out_of_memory(error):
                picture.job.note(SHORT)
            _log.warning("widths could not be tried for %s, and will be again: %s", self.model.id, error)
            raise NotNow from error


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

    def note(self, *sentences: str) -> None:
        """Tells whoever asked, each sentence once."""
        self.notes += tuple(sentence for sentence in sentences if sentence not in self.notes)

    def forget(self) -> None:
        """Decodes no more for it, and takes away what was made."""
        if self.inputs is not None:
            self.inputs.cancel()
        for image in self.spooled.values():
            if image.path is not None:
                spool.discard(image.path)

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
class Picture(Generic[Painted]):
    """One image of a job: what the batcher gives turns to."""

    job: Job
    index: int
    loaded: Loaded[Painted] | None = None
    """Its model, from when it becomes active."""
    canvas: Painted | None = None
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

    @property
    def shape(self) -> Hashable:
        assert self.canvas is not None  # a picture without one has no turns
        return self.job.request.model, self.canvas.shape

    @property
    def by(self) -> Loaded[Painted]:
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
    def left(self) -> int:
        return 0 if self.canvas is None else self.canvas.left

    @property
    def to_come(self) -> int:
        """UNet calls still to make, also before it has a canvas. Of one that is drawn the batcher knows no more."""
        return self.job.work if self.canvas is None else self.canvas.left

    @property
    def pace(self) -> Pace:
        """Of its model at its size; tiles are of one size for images of all."""
        request = self.job.request
        return self.by.paces.of("tile" if request.is_seedless else request.size)

    def seconds(self, forwards: int) -> float:
        """What so many forwards of it take of the worker's time, at its pace; its share of those that are shared."""
        guessed = 2 if self.job.request.guidance_scale > 1 else 1
        rows = guessed if self.canvas is None else self.canvas.rows
        share = 1.0 if self.by.widths.mode == "exact" else rows / self.pace.rows
        return forwards * self.pace.forward_s * share

    @property
    def served(self) -> dict[str, str]:
        """What its fingerprint says besides the model's, where it was not drawn in the model's usual way."""
        tiles = {"decode": "tiles"} if self.in_tiles else {}
        if self.modes <= {self.by.widths.mode}:
            return tiles
        return {"mode": " and ".join(sorted(self.modes)), "width": "1 image", **tiles}


def plain(info: ModelInfo) -> Loaded[PlainCanvas]:
    """What enlarges for this model, without loading it."""
    return Loaded(
        model=info,
        family=PlainFamily(info),
        manner=Manner(),
        fingerprint={"pillow": PIL.__version__, "mode": "exact", "width": "1 image"},
    )
