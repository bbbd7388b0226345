"""The samplers people choose from, by the names they know; what draws with them is `engine.samplers`. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A sampler people know by name; `engine.samplers` maps it to a diffusers scheduler."""

    name: str
    steps_min: int = 1
    steps_max: int = 150
    kind: Literal["single", "pndm", "second_order"] = "single"

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
        Sampler(name="Euler"),
        Sampler(name="Euler a"),
        Sampler(name="DPM++ 2M"),
        Sampler(name="DPM++ 2M Karras"),
        Sampler(name="DPM++ 2M SDE"),
        Sampler(name="DPM++ 2M SDE Karras"),
        Sampler(name="UniPC"),
        Sampler(name="DDIM"),
        Sampler(name="DDPM"),
        Sampler(name="PNDM", kind="pndm"),
        Sampler(name="DEIS"),
        Sampler(name="Heun", kind="second_order"),
        Sampler(name="DPM2", kind="second_order"),
        Sampler(name="DPM2 a", kind="second_order"),
        Sampler(name="LCM", steps_max=50),
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
