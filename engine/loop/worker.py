"""One tick of the engine: who draws next, and what is told about it; knows no torch, no Discord and no process.

How a picture is drawn is its model's business (`Loaded`, and in it `Family`): Stable Diffusion's is `engine.families.sd`,
and the engine without torch (`engine.fake`) brings one of its own. Models come from the shelf. Everything here runs on one
thread, save decoding what people attached and encoding and saving PNGs.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic

from PIL import Image

from engine.child import Controls
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    InvalidRequest,
    Mode,
    Shutdown,
    SpooledImage,
    Stage,
    Started,
    Stepped,
    Submit,
)
from engine.contract.failpoints import Failpoint, reach
from engine.errors import BrokenModel, DeviceLost
from engine.families.base import Painted
from engine.loop.batcher import Batcher
from engine.loop.job import SHORT, Job, Loaded, Picture, plain
from engine.loop.shelf import Shelf
from engine.pictures import decoding, inputs, metadata, spool

_log = logging.getLogger("easel.engine")
TELL_EVERY_S = 0.1
"""A job's steps are told at most this often, besides its first and its last."""
IDLE_S = 1.0
READING_S = 5.0
"""Between two signs of life while an image is read that takes long."""
SAVING_S = 0.02
SAVERS = 2


class Worker(Generic[Painted]):
    """Advances all active pictures together or by turns, one UNet forward per tick."""

    def __init__(
        self,
        *,
        shelf: Shelf[Painted],
        slots: int,
        folder: Path,
        controls: Controls,
        emit: Callable[[Event], None],
        preview_every: int = 0,
        keep_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """At most `slots` pictures are under way at the same time, with `preview_every` UNet calls of one between two
        previews (0: none). `keep_on` is asked in every tick: False ends the engine.
        """
        self._shelf = shelf
        self._entered: Loaded[Painted] | None = None
        """The model that was asked last."""
        self._preview_every = preview_every
        self._sketching: dict[Future[bytes], Picture[Painted]] = {}
        self._sketcher = ThreadPoolExecutor(1, thread_name_prefix="easel-preview")
        self._folder = folder
        self._controls = controls
        self._emit = emit
        self._keep_on = keep_on
        self._batcher: Batcher[Picture[Painted]] = Batcher(slots)
        self._jobs: dict[tuple[int, int], Job] = {}
        self._saving: dict[Future[SpooledImage], Picture[Painted]] = {}
        self._saver = ThreadPoolExecutor(SAVERS, thread_name_prefix="easel-spool")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="easel-inputs")
        self._running = True

    def run(self) -> None:
        """Ticks until it is told to leave. Raises DeviceLost, and then waits for nothing."""
        orderly = False
        try:
            while self.tick():
                pass
            orderly = True
        finally:
            for pool in (self._sketcher, self._saver, self._reader):
                pool.shutdown(wait=orderly, cancel_futures=True)

    def tick(self) -> bool:
        """Drain controls, admit, decode one picture or take one step, tell what is finished. False: leave."""
        self._drain()
        if self._running:
            self._act()
        self._collect()
        return self._running

    def _act(self) -> None:
        self._admit()
        if (drawn := self._next_drawn()) is not None:
            self._finish_drawing(drawn)
        elif pictures := self._batcher.pick(lambda first: first.by.widths.of(first)):
            self._step(pictures)
        elif not self._shelf.is_opening:
            self._rest()

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
        upcoming = self._batcher.upcoming
        if self._saving or upcoming is not None:
            busy = [*self._saving, *(upcoming.job.unread if upcoming is not None else ())]
            if not busy:  # it waits for memory that is about to be given back
                time.sleep(SAVING_S)
            wait(busy, timeout=SAVING_S, return_when=FIRST_COMPLETED)
            return
        with suppress(queue.Empty):
            self._obey(self._controls.get(timeout=IDLE_S))

    def _obey(self, control: Control) -> None:
        match control:
            case Submit():
                self._submit(control)
            case Cancel():
                self._cancel(control)
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
        if request.image is not None:
            job.inputs = self._reader.submit(decoding.begun, self._folder / inputs.FOLDER, request)
        self._jobs[job.key] = job
        for index in range(request.images):
            self._batcher.add(Picture(job=job, index=index), job.total)

    def _cancel(self, control: Cancel) -> None:
        job = self._jobs.get((control.job_id, control.attempt))
        if job is not None:  # otherwise it is already finished, and has been told so
            done = self._done(job) / job.total
            self._drop(job)
            self._emit(Cancelled(job_id=control.job_id, attempt=control.attempt, done=done))

    def _drop(self, job: Job) -> None:
        """Forgets a job and every picture of it, drawn or not."""
        del self._jobs[job.key]
        for picture in list(self._batcher):
            if picture.job is job:
                self._batcher.remove(picture)
        job.forget()

    # -------------------------------------------------------------- drawing

    def _admit(self) -> None:
        while (model := self._next_model()) is not None:
            picture = self._batcher.promote()
            assert picture is not None  # it is the one whose model that is
            picture.loaded, job = model, picture.job
            if job.started_at is None:
                job.started_at = time.monotonic()
                self._emit(Started(job_id=job.submit.job_id, attempt=job.submit.attempt))
                self._tell(job, "encoding", always=True)
            self._guard(self._prepare, picture)
        for picture in self._batcher.waiting:
            if picture.job.stage is None:
                self._tell(picture.job, "waiting", always=True)

    def _next_model(self) -> Loaded[Painted] | None:
        """The model of the picture that becomes active next; None where there is none, or a part more of it was loaded.

        One whose model waits for room, or whose image is still being read, holds up all behind it: nobody overtakes.
        """
        while (picture := self._batcher.upcoming) is not None:
            job = picture.job
            if job.request.is_plain:
                return None if job.unread else self._plain(job)
            others = (*self._batcher.active, *self._saving.values(), *self._sketching.values())
            in_use = {other.by.model.id for other in others}
            if job.request.model not in self._shelf.loaded:
                self._entered = None  # loading pins what drawing with another needs
                self._tell(job, "loading", always=job.stage != "loading")
            try:
                model = self._shelf.fetch(job.request.model, in_use=in_use)
                if model is not None:
                    model.model.check(job.request)
            except (BrokenModel, InvalidRequest) as error:
                self._fail(job, str(error))
            else:
                if job.unread and time.monotonic() - job.told_at > READING_S:
                    self._tell(job, "waiting", always=True)  # an image has bounds of its own: we are not hung
                return None if job.unread else model
        self._shelf.give_up()
        return None

    def _plain(self, job: Job) -> Loaded[Any]:
        """What enlarges without the model, which need not even be loaded."""
        return plain(self._shelf.info(job.request.model))

    def _enter(self, model: Loaded[Painted]) -> None:
        if self._entered is not model:
            model.enter()
            self._entered = model

    def _next_drawn(self) -> Picture[Painted] | None:
        """A picture that has all its steps. Decoding is a tick of its own, so that a cancel can still come before it."""
        return next((picture for picture in self._batcher.active if not picture.left), None)

    def _step(self, pictures: list[Picture[Painted]]) -> None:
        """One UNet forward for all of these, then each one's own sampler."""
        first, model, begin = pictures[0], pictures[0].by, time.monotonic()
        rows = sum(picture.rows for picture in pictures)
        mode = model.widths.served(first)  # asked once: while it draws, a compiler may get ready
        self._enter(model)
        try:
            predictions = model.family.predict(
                [canvas for picture in pictures if (canvas := picture.canvas) is not None],
                padded=model.widths.filled(first, rows) if mode == "wide" else None,
            )
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, some may go on
            self._cope(error, pictures, rows, mode)
            return
        reach(Failpoint.FORWARDED)
        for picture, prediction in zip(pictures, predictions, strict=True):
            picture.modes.add(mode)
            self._guard(self._advance(prediction), picture)
        model.widths.relax(first)
        first.pace.observe(time.monotonic() - begin, rows)

    def _cope(self, error: Exception, pictures: list[Picture[Painted]], rows: int, mode: Mode) -> None:
        """A forward failed: narrower where memory was short, each picture alone otherwise; one alone fails."""
        first, model = pictures[0], pictures[0].by
        short = model.family.is_out_of_memory(error)
        if short and (len(pictures) > 1 or mode == "wide"):
            _log.warning(
                "memory was too short for %d rows of %s: fewer are drawn at once", rows, model.model.id
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

    def _guard(self, act: Callable[[Picture[Painted]], None], picture: Picture[Painted]) -> None:
        """What goes wrong with one picture ends its own job alone."""
        self._enter(picture.by)
        try:
            act(picture)
        except DeviceLost:
            raise
        except InvalidRequest as error:
            self._fail(picture.job, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's
            self._fail(picture.job, picture.by.family.explain(error, picture.job.request))

    def _prepare(self, picture: Picture[Painted]) -> None:
        job = picture.job
        seed = job.request.seed_of(picture.index)
        picture.canvas = picture.by.family.prepare(job.request, seed, job.begun)
        job.note(*job.request.remarks, *picture.canvas.notes)
        job.work = picture.canvas.left  # an image has as many tiles as it has
        self._batcher.reckon(picture, job.total)

    def _advance(self, prediction: Any) -> Callable[[Picture[Painted]], None]:
        def act(picture: Picture[Painted]) -> None:
            canvas, job = picture.canvas, picture.job
            assert canvas is not None  # it was in the forward
            if self._jobs.get(job.key) is not job:
                return  # another picture of the job has just failed
            before = canvas.left
            look = self._wants_look(picture)
            picture.by.family.advance(canvas, prediction, look=look)
            if look and (sketch := picture.by.family.sketch(canvas)) is not None:
                self._sketching[self._sketcher.submit(sketch)] = picture
            if made := before - canvas.left:
                self._tell(job, "denoising", always=self._done(job) in (made, job.total))

        return act

    def _wants_look(self, picture: Picture[Painted]) -> bool:
        """Every few steps, save at the last one, which the picture itself follows, and while one is being made."""
        every = self._preview_every
        due = every > 0 and picture.left > 1 and (picture.left - 1) % every == 0
        return due and picture not in self._sketching.values()

    def _finish_drawing(self, picture: Picture[Painted]) -> None:
        self._batcher.remove(picture)
        self._tell(picture.job, "decoding", always=True)  # it may take long: who watches must know
        self._guard(self._decode, picture)

    def _decode(self, picture: Picture[Painted]) -> None:
        assert picture.canvas is not None
        begin = time.monotonic()
        image = self._decoded(picture)
        reach(Failpoint.DECODED)
        picture.pace.decode_s = time.monotonic() - begin
        picture.made_with, picture.canvas = picture.canvas.made_with, None  # frees its latents
        self._saving[self._saver.submit(self._save, picture, image)] = picture
        self._tell(picture.job, "saving", always=True)

    def _decoded(self, picture: Picture[Painted]) -> Image.Image | None:
        assert picture.canvas is not None
        family = picture.by.family
        try:
            return family.decode(picture.canvas, sparing=False)
        except Exception as error:
            if not family.is_out_of_memory(error):
                raise
        picture.in_tiles = True
        return family.decode(picture.canvas, sparing=True)

    def _save(self, picture: Picture[Painted], image: Image.Image | None) -> SpooledImage:
        """Runs on the saver's thread. Raises OSError."""
        job, index = picture.job, picture.index
        seed = job.request.seed_of(index)
        if image is None:
            return SpooledImage(seed=seed, path=None, flagged=True)
        png = metadata.encode_png(
            image,
            request=job.request,
            index=index,
            notes=job.notes,
            fingerprint={**picture.by.fingerprint, **picture.made_with, **picture.served},
        )
        name = spool.file_name(*job.key, index)
        path, sha256 = spool.write(self._folder, name, png)
        reach(Failpoint.SPOOLED)
        return SpooledImage(
            seed=seed,
            path=str(path),
            sha256=sha256,
            size_bytes=len(png),
            width=image.width,
            height=image.height,
        )

    # -------------------------------------------------------------- telling

    def _collect(self) -> None:
        for future in [future for future in self._sketching if future.done()]:
            picture = self._sketching.pop(future)
            error = future.exception()
            if isinstance(error, Exception):
                picture.by.family.is_out_of_memory(error)  # raises where no other picture could go on either
                _log.warning("a preview could not be made: %s", error)
            elif self._jobs.get(picture.job.key) is picture.job:
                self._tell(
                    picture.job, picture.job.stage or "denoising", always=True, preview=future.result()
                )
        for future in [future for future in self._saving if future.done()]:
            self._saved(self._saving.pop(future), future)

    def _saved(self, picture: Picture[Painted], future: Future[SpooledImage]) -> None:
        job, error = picture.job, future.exception()
        forgotten = self._jobs.get(job.key) is not job
        if error is not None:
            if not forgotten:
                reason = (
                    error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
                )
                self._fail(job, spool.NO_ROOM.format(reason=reason))
            return
        job.spooled[picture.index] = image = future.result()
        if forgotten and image.path is not None:
            spool.discard(image.path)
        elif len(job.spooled) == job.request.images:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        del self._jobs[job.key]
        seconds = time.monotonic() - (job.started_at or 0.0)
        images = tuple(job.spooled[index] for index in range(job.request.images))
        self._emit(
            Finished(
                job_id=job.submit.job_id,
                attempt=job.submit.attempt,
                images=images,
                seconds=seconds,
                notes=job.notes,
            )
        )

    def _fail(self, job: Job, reason: str) -> None:
        self._drop(job)
        self._emit(Failed(job_id=job.submit.job_id, attempt=job.submit.attempt, reason=reason))

    def _tell(self, job: Job, stage: Stage, *, always: bool, preview: bytes | None = None) -> None:
        now = time.monotonic()
        if not always and now - job.told_at < TELL_EVERY_S:
            return
        job.told_at, job.stage = now, stage
        self._emit(
            Stepped(
                job_id=job.submit.job_id,
                attempt=job.submit.attempt,
                stage=stage,
                step=self._done(job),
                steps=job.total,
                seconds_left=self._seconds_left(job),
                preview=preview,
            )
        )

    def _done(self, job: Job) -> int:
        """UNet calls made for it. One that begins anew for lack of memory has made none."""
        return job.total - sum(picture.to_come for picture in self._batcher if picture.job is job)

    def _seconds_left(self, job: Job) -> float | None:
        """By the pace of late forwards: the job's own steps, or those of all who come no later, whatever takes longer.

        None where one of them is of a kind whose pace is not known yet.
        """
        own = [picture for picture in self._batcher.active if picture.job is job]
        if not own:
            return None
        last, waiting = own[-1], sum(picture.job is job for picture in self._batcher.waiting)
        ahead = [other for other in self._batcher.up_to(last) if other.to_come]
        if not all(other.pace.forward_s for other in (last, *ahead)):
            return None
        turns = sum(other.seconds(other.to_come) for other in ahead) + last.seconds(waiting * job.work)
        longest = last.pace.forward_s * max(picture.to_come for picture in own)
        decodes = last.pace.decode_s * (job.request.images - len(job.spooled))
        return round(max(turns, longest) + decodes, 2)
