"""Engines of FakeSettings without a process, in the loop's own time: what the real fake engine tells, and nothing is drawn."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

from bot.core.engines.generation import LOOK_S, Generation, Tell
from bot.core.engines.watch import Watch
from engine.contract import (
    EXIT_BROKEN,
    EXIT_DEVICE_LOST,
    Broken,
    Cancel,
    EngineSettings,
    Failed,
    FakeSettings,
    Finished,
    Loading,
    ModelInfo,
    Ready,
    Resident,
    SpooledImage,
    Stage,
    Started,
    Stepped,
    Submit,
)
from engine.fake import MODEL, fingerprint_of
from workshop.rehearsal.simulation.engine import KILLED, SimGeneration

NOTICED_S = 0.01


class Machine:
    """What the engines of one bot run on: starts them, and does to the one that runs what a test wants done."""

    def __init__(self, fake: FakeSettings) -> None:
        self.fake = fake
        """Of every engine that starts from now on."""
        self.engines: list[ScriptedEngine] = []

    def start(self, settings: EngineSettings, watch: Watch, tell: Tell) -> Generation:
        self.engines.append(ScriptedEngine(settings, self.fake, watch, tell))
        self.newest.begin()
        return self.newest

    @property
    def newest(self) -> ScriptedEngine:
        return self.engines[-1]

    @property
    def runs(self) -> bool:
        return bool(self.engines) and not self.newest.is_dead

    def kill(self) -> None:
        """As by the system's memory killer."""
        self.newest.die(KILLED)

    def hold_still(self) -> None:
        """As SIGSTOP: it neither hears nor tells anything any more."""
        self.newest.freeze()


class ScriptedEngine(SimGeneration):
    """Loads, draws and obeys the fault words as `engine.fake` does."""

    def __init__(self, settings: EngineSettings, fake: FakeSettings, watch: Watch, tell: Tell) -> None:
        super().__init__(watch, tell)
        self._fake, self._folder = fake, Path(settings.spool)
        names = [name for name in (MODEL.id, *fake.others) if name not in settings.set_aside]
        self._models = tuple(replace(MODEL, id=name, title=name) for name in names or [MODEL.id])
        self._loaded = {self._models[0].id}
        self._one_loads = asyncio.Lock()

    def begin(self) -> None:
        super().begin()
        self.later(self._be_watched())

    async def _be_watched(self) -> None:
        """What the thread of a real one does."""
        while not self.is_dead:
            await asyncio.sleep(LOOK_S)
            if self._watch.is_overdue(self._loop.time()):
                self.die(KILLED, hung=True)

    async def load(self) -> None:
        fake, first = self._fake, self._models[0]
        self.emit(_loading(self._models, fraction=0.0))
        for part in range(1, 11):
            await asyncio.sleep(fake.load_s / 10)
            self.emit(_loading(self._models, fraction=part / 10))
        if fake.load_freezes:
            self.freeze()
        if first.id in (*fake.deadly, *fake.frozen):
            self.emit(_loading(self._models, reading=first.id))
            self._meet(first.id)
        if fake.broken is not None:
            self.emit(Broken(reason=fake.broken))
            self.die(EXIT_BROKEN)
        self.emit(
            Ready(
                device="no device",
                dtype="none",
                models=self._models,
                slots=fake.slots,
                fingerprint=fingerprint_of(fake),
            )
        )

    def _meet(self, model: str) -> None:
        if model in self._fake.deadly:
            self.die(KILLED)
        if model in self._fake.frozen:
            self.freeze()

    async def draw(self, submit: Submit) -> None:
        model, steps = submit.request.model, submit.request.evaluations * submit.request.images
        self.emit(_stepped(submit, "waiting", 0, steps))
        async with self._one_loads:
            if model not in self._loaded:
                self.emit(_stepped(submit, "loading", 0, steps))
                await asyncio.sleep(self._fake.load_s)
                self._meet(model)
                await asyncio.sleep(0)  # a dead one gets no further
                self._loaded.add(model)
                self.emit(Resident(models=tuple(sorted(self._loaded))))
        self.emit(Started(job_id=submit.job_id, attempt=submit.attempt))
        for step in range(1, steps + 1):
            await asyncio.sleep(self._fake.step_s)
            self._suffer(submit.request.prompt)
            await asyncio.sleep(0)
            if self._fake.hang_word in submit.request.prompt:
                await self._loop.create_future()
            self.emit(_stepped(submit, "denoising", step, steps))
        self._finish(submit)

    def _suffer(self, prompt: str) -> None:
        if self._fake.crash_word in prompt:
            self.die(KILLED)
        if self._fake.sticky_word in prompt:
            self.die(EXIT_DEVICE_LOST)
        if self._fake.freeze_word in prompt:
            self.freeze()

    def _finish(self, submit: Submit) -> None:
        job_id, attempt, request = submit.job_id, submit.attempt, submit.request
        if self._fake.fail_word in request.prompt:
            self.emit(Failed(job_id=job_id, attempt=attempt, reason="It was asked to fail here."))
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        images: list[SpooledImage] = []
        for number in range(request.images):
            path = self._folder / f"{job_id}-{attempt}-{number}.png"
            path.write_bytes(path.name.encode())
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            images.append(SpooledImage(path=str(path), seed=request.seed + number, sha256=digest))
        self.emit(Finished(job_id=job_id, attempt=attempt, images=tuple(images), seconds=1.0))

    async def give_up(self, cancel: Cancel) -> float:
        del cancel
        await asyncio.sleep(self._fake.step_s)
        return 0.0

    async def lag(self) -> None:
        await asyncio.sleep(NOTICED_S)


def _loading(
    models: tuple[ModelInfo, ...], *, fraction: float | None = None, reading: str | None = None
) -> Loading:
    return Loading(stage="loading the fake model", fraction=fraction, models=models, reading=reading)


def _stepped(submit: Submit, stage: Stage, step: int, steps: int) -> Stepped:
    return Stepped(job_id=submit.job_id, attempt=submit.attempt, stage=stage, step=step, steps=steps)
