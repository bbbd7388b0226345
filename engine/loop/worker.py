"""One tick of the engine: who draws next; knows no torch, no Discord and no process.

How a picture is drawn is its model's business (`Loaded`, and in it `Family`): Stable Diffusion's is `engine.families.sd`,
and the engine without torch (`engine.fake`) brings one of its own. Models come from the shelf. Everything here runs on one
thread; what is done on others is `engine.loop.finishing`, and what is told meanwhile `engine.loop.progress`.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self
from weakref import WeakKeyDictionary

from PIL import Image

from engine.child import Controls, parent_alive
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    EngineSettings,
    Event,
    Failed,
    Finished,
    InvalidRequest,
    Load,
    Mode,
    ModelInfo,
    NotLoaded,
    OfferChanged,
    Resident,
    Shutdown,
    SpooledImage,
    Started,
    Submit,
    Unload,
)
from engine.contract.failpoints import Failpoint, reach
from engine.errors import BrokenModel, DeviceLost, check_device
from engine.families.base import Checker
from engine.loop.batcher import Batcher
from engine.loop.finishing import Finishing
from engine.loop.job import SHORT, Job, Loaded, Picture, discard, plain
from engine.loop.progress import TELL_EVERY_S, Progress
from engine.loop.shelf import Shelf
from engine.pictures import spool

_log = logging.getLogger("easel.engine")
_More = ParamSpec("_More")
LookAround = Callable[[tuple[ModelInfo, ...]], tuple[ModelInfo, ...] | None]
"""Of what is offered: what is offered now; None where nothing changed."""
LOOK_AROUND_S = 5.0
IDLE_S = 1.0
READING_S = 5.0
"""Between two signs of life while an image is read that takes long."""
SAVING_S = 0.02
UNCHECKED = "The safety checker could not look at this picture, so it is shown to nobody: try again, or tell the bot's owner."


class Worker:
    """Advances all active pictures together or by turns, one UNet forward per tick."""

    def __init__(  # noqa: PLR0913 - the parts of an engine
        self,
        *,
        shelf: Shelf,
        slots: int,
        finishing: Finishing,
        controls: Controls,
        emit: Callable[[Event], None],
        preview_every: int = 0,
        tell_every_s: float = TELL_EVERY_S,
        keep_on: Callable[[], bool] = lambda: True,
        checker: Checker | None = None,
        look_around: LookAround = lambda _models: None,
    ) -> None:
        """At most `slots` pictures are under way at the same time, with `preview_every` UNet calls of one between two
        previews (0: none). `keep_on` is asked in every tick: False ends the engine. `checker` looks at every finished picture,
        besides its model's own. `look_around` says now and then what the models offer, where that changed.
        """
        self._shelf = shelf
        self._resident = frozenset(shelf.loaded)
        """The models that are loaded, as it was told last."""
        self._leaving: frozenset[str] = frozenset()
        """Those that are to leave once nobody draws with them any more."""
        self._wanted: str | None = None
        """The model that is to be ready before anybody asks for it."""
        self._entered: Loaded | None = None
        """The model that was asked last."""
        self._preview_every = preview_every
        self._controls = controls
        self._emit = emit
        self._keep_on = keep_on
        self._checker = checker
        self._look_around, self._look_at = look_around, time.monotonic()
        self._have_lent: WeakKeyDictionary[Loaded, bool] = WeakKeyDictionary()
        """Whether a model's own checker is the one that is lent, of which comparing takes a moment."""
        self._batcher: Batcher[Picture] = Batcher(slots)
        self._progress = Progress(self._batcher, emit, every_s=tell_every_s)
        self._finishing = finishing
        self._jobs: dict[tuple[int, int], Job] = {}
        self._running = True

    @classmethod
    def of(
        cls,
        shelf: Shelf,
        settings: EngineSettings,
        controls: Controls,
        emit: Callable[[Event], None],
        checker: Checker | None = None,
        look_around: LookAround = lambda _models: None,
    ) -> Self:
        """The one of an engine's process, which ends with whoever started that."""
        return cls(
            shelf=shelf,
            slots=settings.slots,
            finishing=Finishing(Path(settings.spool), told=settings.metadata),
            controls=controls,
            emit=emit,
            preview_every=settings.preview_every,
            keep_on=parent_alive,
            checker=checker,
            look_around=look_around,
        )

    def run(self) -> None:
        """Ticks until it is told to leave. Raises DeviceLost, and then waits for nothing."""
        orderly = False
        try:
            while self.tick():
                pass
            orderly = True
        finally:
            self._finishing.close(orderly=orderly)

    def tick(self) -> bool:
        """Drain controls, admit, decode one picture, try widths or take one step, tell what is finished. False: leave."""
        self._drain()
        if self._running:
            self._act()
        self._collect()
        self._tell_resident()
        self._tell_offer()
        return self._running

    def _act(self) -> None:
        is_busy = bool(self._jobs) or self._shelf.is_opening or bool(self._finishing.pictures)
        if self._shelf.is_left_alone(is_busy=is_busy):
            self._unload(None)
        if self._leaving:
            self._let_go()
        self._spare()
        self._admit()
        if (drawn := self._next_drawn()) is not None:
            self._finish_drawing(drawn)
        elif (leader := self._batcher.leader) is None:
            self._rest()
        elif leader.by.widths.is_untried(leader):
            self._try_widths(leader)
        else:
            self._step(leader)

    # -------------------------------------------------------------- controls

    def _drain(self) -> None:
        self._running = self._running and self._keep_on()
        while self._running:
            try:
                control = self._controls.get(block=False)
            except queue.Empty:
                return
            self._obey(control)

    def _rest(self) -> None:
        """Nothing to draw: wait for a picture being saved, for one being read, or for a control."""
        if self._shelf.is_opening:
            return
        upcoming = self._batcher.upcoming
        if self._finishing.is_saving or upcoming is not None:
            # Where there is nothing to wait for it is memory that is about to be given back.
            self._finishing.wait(() if upcoming is None else upcoming.job.unread, SAVING_S)
            return
        with suppress(queue.Empty):
            self._obey(self._controls.get(timeout=IDLE_S))

    def _obey(self, control: Control) -> None:
        match control:
            case Submit():
                self._submit(control)
            case Cancel():
                self._cancel(control)
            case Load():
                self._want(control.model)
            case Unload():
                self._unload(control.model)
            case Shutdown():
                self._running = False

    def _submit(self, submit: Submit) -> None:
        request = submit.request
        job = Job(submit=submit, work=request.evaluations)
        if job.key in self._jobs:
            return
        try:
            self._shelf.info(request.model).check(request)
        except InvalidRequest as error:
            self._emit(Failed(job_id=submit.job_id, attempt=submit.attempt, reason=str(error)))
            return
        if request.inputs:
            job.inputs = self._finishing.read(request)
        self._jobs[job.key] = job
        for index in range(request.images):
            self._batcher.add(Picture(job=job, index=index), job.total)

    def _cancel(self, control: Cancel) -> None:
        job = self._jobs.get((control.job_id, control.attempt))
        if job is not None:  # otherwise it is already finished, and has been told so
            done = self._progress.done(job) / job.total
            self._drop(job)
            self._emit(Cancelled(job_id=control.job_id, attempt=control.attempt, done=done))

    def _drop(self, job: Job) -> None:
        """Forgets a job and every picture of it, drawn or not."""
        del self._jobs[job.key]
        for picture in list(self._batcher):
            if picture.job is job:
                self._batcher.remove(picture)
        job.forget()

    # -------------------------------------------------------------- what is loaded

    @property
    def _in_use(self) -> frozenset[str]:
        """The models that somebody draws with, and those whose pictures a thread still works on."""
        return frozenset(other.by.info.id for other in (*self._batcher.active, *self._finishing.pictures))

    def _want(self, model_id: str) -> None:
        try:
            self._wanted = self._shelf.info(model_id).id
        except InvalidRequest as error:
            self._emit(NotLoaded(model=model_id, reason=str(error)))
        self._leaving -= {model_id}

    def _unload(self, model_id: str | None) -> None:
        if model_id in (None, self._wanted):
            self._wanted = None
        self._leaving |= {loaded for loaded in self._shelf.loaded if model_id in (None, loaded)}

    def _tell_offer(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_AROUND_S
        if (models := self._look_around(self._shelf.models)) is not None:
            self._shelf.offer(models)
            self._emit(OfferChanged(models=models))

    def _let_go(self) -> None:
        """Of those that nobody draws with any more."""
        if free := self._leaving - self._in_use:
            self._leaving -= free
            self._entered = None
            self._shelf.drop(free)
            self._tell_resident()

    def _spare(self) -> None:
        """Of what is loaded what no picture under way needs."""
        for model in self._shelf.resident:
            if (forwards := model.family.forwards) is not None:
                forwards.spare([picture.canvas for picture in self._batcher.active if picture.by is model])

    def _prefetch(self) -> None:
        """Nobody waits for a model: another part is loaded of the one that is wanted all the same."""
        if (wanted := self._wanted) is None:
            self._shelf.give_up()
            return
        self._entered = None
        try:
            if self._shelf.fetch(wanted, in_use=self._in_use) is not None:
                self._wanted, self._resident = None, frozenset[str]()  # told even where it was there already
        except BrokenModel as error:
            self._wanted = None
            self._emit(NotLoaded(model=wanted, reason=str(error)))

    def _tell_resident(self) -> None:
        loaded = frozenset(self._shelf.loaded)
        if loaded != self._resident:
            self._resident = loaded
            models = tuple(info.id for info in self._shelf.models if info.id in loaded)
            self._emit(Resident(models=models))

    # -------------------------------------------------------------- drawing

    def _admit(self) -> None:
        while (model := self._next_model()) is not None:
            picture = self._batcher.promote()
            assert picture is not None  # it is the one whose model that is
            picture.loaded, job = model, picture.job
            if job.started_at is None:
                job.started_at = time.monotonic()
                self._emit(Started(job_id=job.submit.job_id, attempt=job.submit.attempt))
                self._progress.tell(job, "encoding")
            self._guard(picture, self._prepare)
        for picture in self._batcher.waiting:
            if picture.job.stage is None:
                self._progress.tell(picture.job, "waiting")

    def _next_model(self) -> Loaded | None:
        """The model of the picture that becomes active next; None where there is none, or a part more of it was loaded.

        One whose model waits for room or is about to leave, or whose image is still being read, holds up all behind it:
        nobody overtakes.
        """
        while (picture := self._batcher.upcoming) is not None:
            job = picture.job
            if job.request.is_plain:
                return None if job.unread else self._plain(job)
            if job.request.model in self._leaving and job.started_at is None:
                return None
            if job.request.model not in self._shelf.loaded:
                self._entered = None  # loading pins what drawing with another needs
                self._progress.tell(job, "loading", always=job.stage != "loading")
            try:
                model = self._shelf.fetch(job.request.model, in_use=self._in_use)
                if model is not None:
                    model.info.check(job.request)
            except (BrokenModel, InvalidRequest) as error:
                self._fail(job, str(error))
            else:
                if job.unread and time.monotonic() - job.told_at > READING_S:
                    self._progress.tell(job, "waiting")  # an image has bounds of its own: we are not hung
                return None if job.unread else model
        self._prefetch()
        return None

    def _plain(self, job: Job) -> Loaded:
        """What enlarges without the model, which need not even be loaded."""
        return plain(self._shelf.info(job.request.model))

    def _enter(self, model: Loaded) -> None:
        if self._entered is not model:
            model.enter()
            self._entered = model

    def _next_drawn(self) -> Picture | None:
        """A picture that has all its steps. Decoding is a tick of its own, so that a cancel can still come before it."""
        return next((picture for picture in self._batcher.active if not picture.left), None)

    def _try_widths(self, picture: Picture) -> None:
        """Lets its model try how many rows a forward of this shape may have, for nobody, so that `pick` only looks it up."""
        model, forwards = picture.by, picture.by.family.forwards
        assert forwards is not None  # whoever shares none draws in exact
        self._enter(model)
        try:
            equal = forwards.equal_widths(picture.canvas, model.widths.rows_of(picture))
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - the forward in exact, which comes next, meets what is really wrong
            # Frees what it can, and knows when all is lost.
            if model.family.is_out_of_memory(error):
                picture.job.note(SHORT)
            _log.warning("widths could not be tried for %s, and will be again: %s", model.info.id, error)
            model.widths.put_off(picture)
        else:
            model.widths.learn(picture, equal)

    def _step(self, leader: Picture) -> None:
        """One UNet forward for this picture and all that may join it, then each one's own sampler."""
        model, begin = leader.by, time.monotonic()
        mode = model.widths.served(leader)
        pictures = self._batcher.pick(model.widths.most(leader, mode))
        rows = sum(picture.rows for picture in pictures)
        self._enter(model)
        try:
            predictions = model.family.predict(
                [picture.canvas for picture in pictures],
                padded=model.widths.filled(leader, rows) if mode == "wide" else None,
            )
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, some may go on
            self._cope(error, pictures, rows, mode)
            return
        reach(Failpoint.FORWARDED)
        for picture, prediction in zip(pictures, predictions, strict=True):
            picture.modes.add(mode)
            self._guard(picture, self._advance, prediction)
        model.widths.relax(leader)
        self._progress.forward_took(leader, time.monotonic() - begin, rows)

    def _cope(self, error: Exception, pictures: list[Picture], rows: int, mode: Mode) -> None:
        """A forward failed: narrower where memory was short, each picture alone otherwise; one alone fails."""
        first, model = pictures[0], pictures[0].by
        short = model.family.is_out_of_memory(error)
        if short and (len(pictures) > 1 or mode == "wide"):
            _log.warning(
                "memory was too short for %d rows of %s: fewer are drawn at once", rows, model.info.id
            )
            model.widths.narrow(first, rows)
            if mode == "wide":
                self._set_apart(first.shape)
                for picture in pictures:
                    picture.job.note(SHORT)
        elif len(pictures) > 1:
            for picture in pictures:
                picture.alone = True
        elif short and not first.tried_again:
            first.tried_again = True
        else:
            self._fail(first.job, model.family.explain(error, first.job.request))

    def _set_apart(self, shape: Hashable) -> None:
        """All of this shape that had forwards in wide go on in exact."""
        for picture in self._batcher.active:
            if "wide" in picture.modes and picture.left and picture.shape == shape:
                picture.set_apart = True
                picture.job.note(SHORT)

    def _guard(
        self,
        picture: Picture,
        act: Callable[Concatenate[Picture, _More], None],
        *more: _More.args,
        **named: _More.kwargs,
    ) -> None:
        """What goes wrong with one picture ends its own job alone."""
        self._enter(picture.by)
        try:
            act(picture, *more, **named)
        except DeviceLost:
            raise
        except InvalidRequest as error:
            self._fail(picture.job, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's
            self._fail(picture.job, picture.by.family.explain(error, picture.job.request))

    def _prepare(self, picture: Picture) -> None:
        job = picture.job
        seed = job.request.seed_of(picture.index)
        picture.canvas = picture.by.family.prepare(job.request, seed, job.begun)
        job.note(*job.request.remarks, *picture.canvas.notes)
        job.work = picture.canvas.left  # an image has as many tiles as it has
        self._batcher.reckon(picture, job.total)

    def _advance(self, picture: Picture, prediction: Any) -> None:
        canvas, job = picture.canvas, picture.job
        assert canvas is not None  # it was in the forward
        if job.is_over:
            return  # another picture of the job has just failed
        before = canvas.left
        look = self._wants_look(picture)
        picture.by.family.advance(canvas, prediction, look=look)
        if look and (sketch := picture.by.family.sketch(canvas)) is not None:
            self._finishing.sketch(picture, sketch)
        self._progress.tell_steps(job, made=before - canvas.left)

    def _wants_look(self, picture: Picture) -> bool:
        """Every few steps, save at the last one, which the picture itself follows, and while one is being made."""
        every = self._preview_every
        due = every > 0 and picture.left > 1 and (picture.left - 1) % every == 0
        return due and not self._finishing.is_sketching(picture)

    def _finish_drawing(self, picture: Picture) -> None:
        self._batcher.remove(picture)
        self._progress.tell(picture.job, "decoding")  # it may take long: who watches must know
        self._guard(picture, self._decode)

    def _decode(self, picture: Picture) -> None:
        assert picture.canvas is not None
        begin = time.monotonic()
        image = self._decoded(picture)
        reach(Failpoint.DECODED)
        self._progress.decode_took(picture, time.monotonic() - begin)
        picture.made_with, picture.canvas = picture.canvas.made_with, None  # frees its latents
        self._check(picture, image)
        self._finishing.save(picture, image)
        self._progress.tell(picture.job, "saving")

    def _check(self, picture: Picture, image: Image.Image) -> None:
        """Lets the checkers look at it. Raises InvalidRequest where one can't: then nobody may see it."""
        for checker in self._checkers_of(picture.by):
            try:
                score = checker.score(image)
            except Exception as error:
                check_device(error)
                _log.exception("a picture could not be checked")
                raise InvalidRequest(UNCHECKED) from error
            picture.unsafe = max(score, picture.unsafe or 0.0)
            picture.flagged |= checker.flags(score)

    def _checkers_of(self, model: Loaded) -> list[Checker]:
        """The model's own and the one that is lent to all; where both are the same, it looks once."""
        own, lent = model.family.checker, self._checker
        if own is None or lent is None:
            return [checker for checker in (own, lent) if checker is not None]
        if model not in self._have_lent:
            self._have_lent[model] = own.is_like(lent)
        return [own] if self._have_lent[model] else [own, lent]

    def _decoded(self, picture: Picture) -> Image.Image:
        assert picture.canvas is not None
        family = picture.by.family
        try:
            return family.decode(picture.canvas, sparing=False)
        except Exception as error:
            if not family.is_out_of_memory(error):
                raise
        picture.in_tiles = True
        return family.decode(picture.canvas, sparing=True)

    # -------------------------------------------------------------- what ends

    def _collect(self) -> None:
        for picture, preview in self._finishing.sketched():
            if isinstance(preview, Exception):
                picture.by.family.is_out_of_memory(
                    preview
                )  # raises where no other picture could go on either
                _log.warning("a preview could not be made: %s", preview)
            elif not picture.job.is_over:
                self._progress.tell(picture.job, picture.job.stage or "denoising", preview=preview)
        for picture, image in self._finishing.saved():
            self._saved(picture, image)

    def _saved(self, picture: Picture, image: SpooledImage | Exception) -> None:
        job = picture.job
        if isinstance(image, Exception):
            if not job.is_over:
                reason = (
                    image.strerror if isinstance(image, OSError) and image.strerror else type(image).__name__
                )
                self._fail(job, spool.NO_ROOM.format(reason=reason))
            return
        job.spooled[picture.index] = image
        if job.is_over:
            discard(image)
        elif len(job.spooled) == job.request.images:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        del self._jobs[job.key]
        job.is_over = True
        seconds = time.monotonic() - (job.started_at or 0.0)
        images = tuple(job.spooled[index] for index in range(job.request.images))
        forwards, rows = self._progress.take_counts()
        self._emit(
            Finished(
                job_id=job.submit.job_id,
                attempt=job.submit.attempt,
                images=images,
                seconds=seconds,
                notes=job.notes,
                forwards=forwards,
                rows=rows,
            )
        )

    def _fail(self, job: Job, reason: str) -> None:
        self._drop(job)
        self._emit(Failed(job_id=job.submit.job_id, attempt=job.submit.attempt, reason=reason))
