"""The samplers people choose from, by the names they know; what draws with them is `engine.samplers`. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.contract.limits import Listed
from engine.errors import InvalidRequest

AYS, SGM_UNIFORM = "AYS", "SGM Uniform"
SCHEDULES = (AYS, SGM_UNIFORM)
"""At which timesteps a sampler works besides its own way, by the names of ComfyUI and AUTOMATIC1111: “Align Your Steps”
(Sabour et al. 2024, arXiv 2404.14507), and evenly spaced from the very end, as few-step models were taught."""
AYS_STEPS = 10
"""It is a list of so many timesteps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A sampler people know by name; `engine.samplers` maps it to a diffusers scheduler."""

    name: str
    steps_min: int = 1
    steps_max: int = 150
    kind: Literal["single", "pndm", "second_order"] = "single"
    schedules: tuple[str, ...] = ()
    """Those of SCHEDULES that it works with."""

    def evaluations(self, steps: int, taken: int) -> int:
        """UNet calls that the last `taken` of `steps` steps really make, counting rows with guidance once."""
        match self.kind:
            case "single":
                return taken
            case "pndm":  # of a schedule of several steps the first that is taken is taken twice
                return taken + 1 if steps > 1 else 1
            case "second_order":  # two calls a step, one for the last
                return 2 * taken - 1


SAMPLERS: Mapping[str, Sampler] = {
    sampler.name: sampler
    for sampler in (
        Sampler(name="Euler", schedules=SCHEDULES),
        Sampler(name="Euler a", schedules=(SGM_UNIFORM,)),
        Sampler(name="DPM++ 2M", schedules=SCHEDULES),
        Sampler(name="DPM++ 2M Karras"),
        Sampler(name="DPM++ 2M SDE", schedules=SCHEDULES),
        Sampler(name="DPM++ 2M SDE Karras"),
        Sampler(name="UniPC", schedules=(SGM_UNIFORM,)),
        Sampler(name="DDIM", schedules=(SGM_UNIFORM,)),
        Sampler(name="DDPM", schedules=(SGM_UNIFORM,)),
        Sampler(name="PNDM", kind="pndm"),
        Sampler(name="DEIS", schedules=(SGM_UNIFORM,)),
        Sampler(name="Heun", kind="second_order", schedules=(SGM_UNIFORM,)),
        Sampler(name="DPM2", kind="second_order", schedules=(SGM_UNIFORM,)),
        Sampler(name="DPM2 a", kind="second_order", schedules=(SGM_UNIFORM,)),
        Sampler(name="LCM", steps_max=50),
        Sampler(name="TCD", steps_max=50),
    )
}
OWN_SAMPLER = Sampler(name="Model's own")
"""The only one of models that are drawn with by their own pipeline (FLUX and others): the one in their files."""
LANCZOS = Sampler(name="Lanczos", steps_max=1)
"""Of images that are enlarged and not redrawn, whatever the model."""
EVERY_SAMPLER: Mapping[str, Sampler] = {
    **SAMPLERS,
    OWN_SAMPLER.name: OWN_SAMPLER,
    LANCZOS.name: LANCZOS,
}


def spelled(sampler: str) -> str:
    """The sampler's own spelling, whatever the capitals; unknown names stay and are refused with the list."""
    wanted = sampler.strip().casefold()
    return next((known for known in EVERY_SAMPLER if known.casefold() == wanted), sampler)


def check_schedule(sampler: Sampler, schedule: str, steps: int | None, offered: Iterable[str]) -> None:
    """Raises InvalidRequest where the sampler does not work so, or not with so many steps; `offered`: the samplers that may."""
    if not schedule:
        return
    if schedule not in SCHEDULES:
        raise InvalidRequest(
            "There is no schedule “{name}”: use one of {offered}.",
            name=schedule[:60],
            offered=Listed(names=SCHEDULES),
        )
    if schedule not in sampler.schedules:
        raise InvalidRequest(
            "{sampler} does not work with the schedule {schedule}: use one of {offered}.",
            sampler=sampler.name,
            schedule=schedule,
            offered=Listed(
                names=tuple(name for name in offered if schedule in EVERY_SAMPLER[name].schedules)
            ),
        )
    if schedule == AYS and steps not in (None, AYS_STEPS):
        raise InvalidRequest(
            "The schedule {schedule} has {steps} steps, not {given}: leave out steps, or the schedule.",
            schedule=AYS,
            steps=AYS_STEPS,
            given=steps,
        )


def spelled_schedule(schedule: str) -> str:
    """The schedule's own spelling; unknown names stay and are refused with the list."""
    wanted = _SCHEDULE_NAMES.get(schedule.strip().casefold())
    return schedule if wanted is None else wanted


_SCHEDULE_NAMES: Mapping[str, str] = {
    **{schedule.casefold(): schedule for schedule in SCHEDULES},
    "align your steps": AYS,
    "sgm_uniform": SGM_UNIFORM,
    "trailing": SGM_UNIFORM,  # as diffusers calls it
}
