"""When an engine counts as hung: by phase, by its own pace, never while it gets on."""

from __future__ import annotations

import pytest

from bot.core.engines.watch import Deadlines, Watch
from engine.contract import (
    Cancel,
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    Load,
    Loading,
    NotLoaded,
    Ready,
    Resident,
    Stage,
    Started,
    Stepped,
    Submit,
    Unload,
)
from workshop.rehearsal.props import picture

READY = Ready(device="", dtype="", models=(), slots=4, fingerprint={"device": "a GPU"})
LIMITS = Deadlines()


class Clock:
    """Time that goes on second by second, with somebody who looks."""

    def __init__(self, deadlines: Deadlines = LIMITS) -> None:
        self.now = 1000.0
        self.watch = Watch(deadlines)
        self.watch.started(self.now)

    def send(self, control: Control, *, after_s: float = 0.0) -> None:
        assert not self.is_overdue_after(after_s)
        self.watch.sent(control, self.now)

    def submit(self, job_id: int = 1, *, after_s: float = 0.0, **values: int | str) -> None:
        self.send(
            Submit(job_id=job_id, attempt=1, request=picture(**values)),  # type: ignore[arg-type]
            after_s=after_s,
        )

    def tell(self, *events: Event, after_s: float = 0.0) -> None:
        assert not self.is_overdue_after(after_s)
        for event in events:
            self.watch.told(event, self.now)

    def draw(self, job_id: int = 1, *, steps: int, each_s: float, of: int = 20) -> None:
        """The job is started, and takes so many of its steps."""
        self.tell(Started(job_id=job_id, attempt=1), stepped(job_id, "encoding", 0, of))
        for step in range(1, steps + 1):
            self.tell(stepped(job_id, "denoising", step, of), after_s=each_s)

    def is_overdue_after(self, seconds: float) -> bool:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            if self.watch.is_overdue(self.now):
                return True
        return False


def stepped(job_id: int, stage: Stage, step: int, steps: int = 20) -> Stepped:
    return Stepped(job_id=job_id, attempt=1, stage=stage, step=step, steps=steps)


def ready(deadlines: Deadlines = LIMITS) -> Clock:
    clock = Clock(deadlines)
    clock.tell(READY)
    return clock


def assert_limit(clock: Clock, seconds: float) -> None:
    """Silence is fine up to here, and no longer."""
    assert not clock.is_overdue_after(seconds - 1)
    assert clock.is_overdue_after(3)


# ------------------------------------------------------------------ phases


def test_an_upscalers_tiles_have_time_of_their_own() -> None:
    """A tile may take as long as a first step, whatever the pace of steps is, which it leaves as it was."""
    tiled = {"image": "a" * 64, "strength": 1.0, "steps": 1, "guidance_scale": 1.0, "upscale": 2}
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=20, each_s=0.1)
    clock.tell(Finished(job_id=1, attempt=1, images=(), seconds=2.0))
    clock.submit(2, **tiled, sampler="Model's own")  # type: ignore[arg-type]
    clock.draw(2, steps=3, each_s=60.0)
    clock.submit(3)
    clock.tell(Finished(job_id=2, attempt=1, images=(), seconds=2.0))
    clock.draw(3, steps=1, each_s=0.1)
    assert_limit(clock, LIMITS.step_s)
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=20, each_s=0.1)
    clock.submit(2, **tiled, sampler="Model's own")  # type: ignore[arg-type]
    clock.draw(2, steps=1, each_s=60.0)
    assert_limit(clock, LIMITS.first_step_s)


def test_loading_may_be_silent_between_two_signs() -> None:
    """However long loading takes in all: only silence counts, from the last sign on."""
    clock = Clock()
    for _ in range(5):
        clock.tell(Loading(stage="loading unet"), after_s=LIMITS.loading_s - 1)
    assert_limit(clock, LIMITS.loading_s)


@pytest.mark.parametrize(
    "over",
    [
        Resident(models=("first", "large")),
        NotLoaded(model="large", reason="It is broken."),
        Unload(model="large"),
        Unload(),
    ],
)
def test_what_an_admin_loads_meanwhile_may_take_long(over: Event | Unload) -> None:
    """Between the steps of who draws, a part of another model may come from a slow disk; once it is over they are due again."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=0.05)
    clock.send(Load(model="large"))
    clock.tell(stepped(1, "denoising", 6), after_s=LIMITS.loading_s - 1)
    clock.tell(stepped(1, "denoising", 7), Resident(models=("first",)), after_s=LIMITS.loading_s - 1)
    if isinstance(over, Unload):
        clock.send(over)
    else:
        clock.tell(over)
    assert_limit(clock, LIMITS.step_s)


def test_an_idle_engine_is_never_overdue() -> None:
    """Without work there is nothing to tell, before the first job and after the last."""
    clock = ready()
    assert not clock.is_overdue_after(100_000)
    clock.submit()
    clock.draw(steps=20, each_s=0.1)
    clock.tell(stepped(1, "decoding", 20), Finished(job_id=1, attempt=1, images=(), seconds=1.0))
    assert not clock.watch.busy
    assert not clock.is_overdue_after(100_000)


def test_the_first_job_of_all_has_long() -> None:
    """Before any step nothing is known of the pace: the deadline is counted from the work, not from the last event."""
    clock = ready()
    clock.submit(after_s=5000)
    clock.tell(Started(job_id=1, attempt=1), stepped(1, "encoding", 0))
    assert_limit(clock, LIMITS.first_job_s)


def test_later_steps_are_due_soon() -> None:
    """An engine with quick steps that stands still is found out within ten seconds."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=0.05)
    assert_limit(clock, LIMITS.step_s)


def test_slow_steps_are_given_twenty_times_their_own() -> None:
    """On a slow machine a step may take twenty times as long as its steps usually do."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=30.0)
    assert_limit(clock, 20 * 30.0)


def test_a_larger_picture_may_take_longer() -> None:
    """The pace is by pixels and rows: after small pictures one of 16 times the pixels has 16 times the time."""
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=20, each_s=2.0)
    clock.tell(Finished(job_id=1, attempt=1, images=(), seconds=1.0))
    clock.submit(2, width=256, height=256)
    clock.draw(2, steps=1, each_s=600.0)
    assert_limit(clock, 20 * 16 * 2.0)


def test_each_model_has_its_own_pace() -> None:
    """A small model's pace says nothing of a large one's first steps: those have as long as anybody's first."""
    clock = Clock()
    clock.tell(READY)
    clock.submit(1)
    clock.draw(1, steps=19, each_s=0.1)
    clock.submit(2, model="large")
    clock.tell(Started(job_id=2, attempt=1), stepped(2, "encoding", 0, 20), stepped(2, "denoising", 0, 20))
    assert not clock.is_overdue_after(LIMITS.first_job_s - 1)
    assert clock.is_overdue_after(2)


def test_the_first_step_of_a_later_job_has_its_own_deadline() -> None:
    """Quick as the engine is: a new job's first step may have to choose kernels."""
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=5, each_s=0.05)
    clock.submit(2)
    clock.tell(Started(job_id=2, attempt=1))
    assert_limit(clock, LIMITS.first_step_s)


def test_a_decode_may_take_minutes() -> None:
    """A minute and more of decoding is no hang, whatever the steps took."""
    clock = ready()
    clock.submit()
    clock.draw(steps=20, each_s=0.05)
    clock.tell(stepped(1, "decoding", 20))
    assert_limit(clock, LIMITS.decoding_s)


def test_a_decode_on_a_very_slow_machine() -> None:
    """Where steps take a minute a decode has twenty of them."""
    clock = ready()
    clock.submit()
    clock.draw(steps=3, each_s=60.0)
    clock.tell(stepped(1, "decoding", 20))
    assert_limit(clock, 20 * 60.0)


def test_saving_holds_up_nobody() -> None:
    """While one picture is saved behind them, the others' steps are due as ever; alone it has the time of a decode."""
    clock = ready()
    for job_id in (1, 2):
        clock.submit(job_id)
        clock.draw(job_id, steps=20, each_s=0.05)
    clock.tell(stepped(1, "decoding", 20), stepped(1, "saving", 20))
    clock.tell(stepped(2, "denoising", 20))
    assert_limit(clock, LIMITS.step_s)
    clock.tell(Finished(job_id=2, attempt=1, images=(), seconds=1.0))
    assert_limit(clock, LIMITS.decoding_s)


def test_a_turbo_models_only_step_is_a_measure_too() -> None:
    """One step a picture: afterwards the engine's pace is known, and later jobs have the shorter deadline."""
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=1, each_s=0.5)
    clock.tell(Finished(job_id=1, attempt=1, images=(), seconds=1.0))
    clock.submit(2)
    clock.tell(Started(job_id=2, attempt=1))
    assert_limit(clock, LIMITS.first_step_s)


# ------------------------------------------------------------------ in company


def test_who_waits_inside_the_engine_is_not_hung() -> None:
    """A job told as waiting neither counts as hung nor gives the others its own long deadline."""
    clock = ready()
    clock.submit(1)
    clock.submit(2)
    clock.tell(Started(job_id=1, attempt=1), stepped(2, "waiting", 0))
    for step in range(1, 60):
        clock.tell(stepped(1, "denoising", step, 60), after_s=3.0)
    clock.tell(stepped(1, "denoising", 60, 60))
    assert_limit(clock, 20 * 2 * 3.0)  # both are counted: it might be anybody's turn


def test_neighbours_that_get_on_keep_a_slow_one_alive() -> None:
    """Whoever draws, the engine gets on: nobody is killed while events come, even if one job never steps."""
    clock = ready()
    clock.submit(1)
    clock.tell(Started(job_id=1, attempt=1), stepped(1, "encoding", 0))
    for job_id in range(2, 300):
        clock.submit(job_id)
        clock.draw(job_id, steps=4, each_s=2.0, of=4)
        clock.tell(Finished(job_id=job_id, attempt=1, images=(), seconds=1.0))
    assert clock.now > 1000 + 2 * LIMITS.first_job_s
    assert_limit(clock, LIMITS.first_step_s)


def test_forwards_that_many_share_do_not_shorten_anybodys_time() -> None:
    """Four in each forward of ten seconds: their events come in one moment, which must not pass for quick steps."""
    clock = ready()
    for job_id in range(1, 5):
        clock.submit(job_id)
        clock.tell(Started(job_id=job_id, attempt=1), stepped(job_id, "encoding", 0))
    for step in range(1, 10):
        clock.tell(*(stepped(job_id, "denoising", step) for job_id in range(1, 5)), after_s=10.0)
    assert_limit(clock, 20 * 4 * 10.0)


def test_new_jobs_do_not_hide_a_hung_engine() -> None:
    """Jobs that are handed over while the engine stands still start no clock anew."""
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=5, each_s=0.05)
    for job_id in (2, 3):
        clock.submit(job_id, after_s=4.0)
    assert clock.is_overdue_after(4.0)


@pytest.mark.parametrize("ending", [Failed(job_id=2, attempt=1, reason="no"), Cancelled(job_id=2, attempt=1)])
def test_who_has_ended_no_longer_counts(ending: Event) -> None:
    """When a job in its first step ends, the deadline is that of those who are left."""
    clock = ready()
    clock.submit(1)
    clock.draw(1, steps=5, each_s=0.05)
    clock.submit(2)
    clock.tell(Started(job_id=2, attempt=1))
    clock.send(Cancel(job_id=2, attempt=1))
    clock.tell(ending)
    assert_limit(clock, LIMITS.step_s)


# ------------------------------------------------------------------ generations and sleep


def test_a_new_generation_starts_from_nothing() -> None:
    """Nobody of the old one is aboard, loading has its deadline again, and the pace of the same device is kept."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=0.05)
    clock.watch.started(clock.now)
    assert not clock.watch.busy
    clock.tell(READY, after_s=LIMITS.loading_s - 1)
    clock.submit(2)
    assert_limit(clock, LIMITS.first_step_s)


def test_another_device_has_another_pace() -> None:
    """What a GPU's steps took says nothing about the processor that draws after it."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=0.05)
    clock.watch.started(clock.now)
    clock.tell(Ready(device="", dtype="", models=(), slots=4, fingerprint={"device": "cpu"}))
    clock.submit(2)
    assert_limit(clock, LIMITS.first_job_s)


def test_who_slept_blames_nobody() -> None:
    """A bot that was itself stopped for an hour, with its container, gives the engine its whole deadline again."""
    clock = ready()
    clock.submit()
    clock.draw(steps=5, each_s=0.05)
    assert not clock.is_overdue_after(5)
    clock.now += 3600
    assert not clock.watch.is_overdue(clock.now)
    assert_limit(clock, LIMITS.step_s)
