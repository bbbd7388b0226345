"""One tick of the engine: who draws next, and what is told about it; knows no torch, no Discord and no process.

How a picture is drawn is its family's business (`Family`): Stable Diffusion's is `engine.families.sd`, and the engine
without torch (`engine.fake`) brings one of its own. Everything here runs on one thread, save encoding and saving PNGs.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Generic, Literal, Protocol

from PIL import Image

from engine import metadata, spool
from engine.batcher import Batcher
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    GenerationRequest,
    InvalidRequest,
    ModelInfo,
    Shutdown,
    SpooledImage,
    Started,
    Stepped,
    Submit,
)
from engine.drawing import DeviceLost, Family, Job, Painted, Picture

TELL_EVERY_S = 0.1
"""A job's steps are told at most this often, besides its first and its last."""
IDLE_S = 1.0
SAVING_S = 0.02

Stage = Literal["encoding", "denoising", "decoding"]


class Controls(Protocol):
    """The reading end of the queue: raises queue.Empty when nothing came."""

    def get(self, block: bool = True, timeout: float | None = None) -> Control: ...


class Worker(Generic[Painted]):
    """Advances all active pictures by turns, one UNet forward per tick."""

    def __init__(
        self,
        *,
        family: Family[Painted],
        model: ModelInfo,
        slots: int,
        folder: Path,
        controls: Controls,
        emit: Callable[[Event], None],
        fingerprint: Mapping[str, str],
        keep_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """`keep_on` is asked while idle: False ends the engine."""
        self._family = family
        self._model = model
        self._folder = folder
        self._controls = controls
        self._emit = emit
        self._fingerprint = fingerprint
        self._keep_on = keep_on
        self._batcher: Batcher[Picture[Painted]] = Batcher(slots)
        self._jobs: dict[tuple[int, int], Job] = {}
        self._saving: dict[Future[SpooledImage], Picture[Painted]] = {}
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="easel-spool")
        self._running = True

    def run(self) -> None:
        """Ticks until it is told to leave."""
        try:
            while self.tick():
                pass
        finally:
            self._saver.shutdown(wait=True, cancel_futures=True)

    def tick(self) -> bool:
        """Drain controls, admit, give one picture its turn, tell what is finished. False: leave."""
        self._drain()
        self._admit()
        picture = self._batcher.turn()
        if picture is not None:
            self._take_turn(picture)
        elif self._running:
            self._rest()
        self._collect()
        return self._running

    # -------------------------------------------------------------- controls

    def _drain(self) -> None:
        while self._running:
            try:
                control = self._controls.get(block=False)
            except queue.Empty:
                return
            self._obey(control)

    def _rest(self) -> None:
        """Nothing to draw: wait for a picture being saved, or for a control."""
        if self._saving:
            wait(self._saving, timeout=SAVING_S, return_when=FIRST_COMPLETED)
            return
        try:
            self._obey(self._controls.get(timeout=IDLE_S))
        except queue.Empty:
            self._running = self._keep_on()

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
        job = Job(submit=submit, total=request.evaluations * request.images)
        if job.key in self._jobs:
            return
        try:
            self._check(request)
        except InvalidRequest as error:
            self._emit(Failed(job_id=submit.job_id, attempt=submit.attempt, reason=str(error)))
            return
        self._jobs[job.key] = job
        for index in range(request.images):
            self._batcher.add(Picture(job=job, index=index))

    def _check(self, request: GenerationRequest) -> None:
        if request.model != self._model.id:
            raise InvalidRequest(
                f"There is no model “{request.model[:60]}” here: this engine draws with {self._model.id}."
            )
        self._model.check(request)

    def _cancel(self, control: Cancel) -> None:
        job = self._jobs.get((control.job_id, control.attempt))
        if job is not None:  # otherwise it is already finished, and has been told so
            self._drop(job)
            self._emit(Cancelled(job_id=control.job_id, attempt=control.attempt, done=job.done / job.total))

    def _drop(self, job: Job) -> None:
        """Forgets a job and every picture of it, drawn or not."""
        del self._jobs[job.key]
        for picture in list(self._batcher):
            if picture.job is job:
                self._batcher.remove(picture)
        for image in job.spooled.values():
            if image.path is not None:
                spool.discard(image.path)

    # -------------------------------------------------------------- drawing

    def _admit(self) -> None:
        while (picture := self._batcher.promote()) is not None:
            job = picture.job
            if job.started_at is None:
                job.started_at = time.monotonic()
                self._emit(Started(job_id=job.submit.job_id, attempt=job.submit.attempt))
                self._tell(job, "encoding", always=True)
            self._guard(self._prepare, picture)

    def _take_turn(self, picture: Picture[Painted]) -> None:
        """One step of this picture, or its decoding: a turn of its own, so that a cancel can still come before it."""
        if picture.canvas is not None and picture.canvas.left:
            self._guard(self._step, picture)
        else:
            self._batcher.remove(picture)
            self._tell(picture.job, "decoding", always=picture.job.done == picture.job.total)
            self._guard(self._decode, picture)

    def _guard(self, act: Callable[[Picture[Painted]], None], picture: Picture[Painted]) -> None:
        """What goes wrong with one picture ends its own job alone."""
        try:
            act(picture)
        except DeviceLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's
            self._fail(picture.job, self._family.explain(error, picture.job.request))

    def _prepare(self, picture: Picture[Painted]) -> None:
        job = picture.job
        picture.canvas = self._family.prepare(job.request, job.request.seed_of(picture.index))
        job.notes = picture.canvas.notes

    def _step(self, picture: Picture[Painted]) -> None:
        canvas, job = picture.canvas, picture.job
        assert canvas is not None  # an active picture was prepared
        before = canvas.left
        self._family.denoise(canvas)
        made = before - canvas.left
        job.done += made
        if made:
            self._tell(job, "denoising", always=job.done in (made, job.total))

    def _decode(self, picture: Picture[Painted]) -> None:
        assert picture.canvas is not None
        image = self._family.decode(picture.canvas)
        picture.canvas = None  # frees its latents
        self._saving[self._saver.submit(self._save, picture.job, picture.index, image)] = picture

    def _save(self, job: Job, index: int, image: Image.Image | None) -> SpooledImage:
        """Runs on the saver's thread. Raises OSError."""
        seed = job.request.seed_of(index)
        if image is None:
            return SpooledImage(seed=seed, path=None, flagged=True)
        png = metadata.encode_png(
            image, request=job.request, index=index, notes=job.notes, fingerprint=self._fingerprint
        )
        name = spool.file_name(*job.key, index)
        path, sha256 = spool.write(self._folder, name, png)
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

    def _tell(self, job: Job, stage: Stage, *, always: bool) -> None:
        now = time.monotonic()
        if not always and now - job.told_at < TELL_EVERY_S:
            return
        job.told_at = now
        self._emit(
            Stepped(
                job_id=job.submit.job_id,
                attempt=job.submit.attempt,
                stage=stage,
                step=job.done,
                steps=job.total,
            )
        )
