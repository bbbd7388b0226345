"""What other programs call the samplers that are offered here; standard library only.

Each writes the same algorithm in its own way: AUTOMATIC1111 "DPM++ 2M" with a "Karras" beside it (once behind it), ComfyUI
and its kin "dpmpp_2m" and "karras", InvokeAI "dpmpp_2m_k", NovelAI "k_dpmpp_2m".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.contract.samplers import AYS, EVERY_SAMPLER, SGM_UNIFORM, spelled

_OURS: Mapping[str, str] = {
    "euler": "Euler",
    "eulera": "Euler a",
    "eulerancestral": "Euler a",
    "dpmpp2m": "DPM++ 2M",
    "dpmpp2msde": "DPM++ 2M SDE",
    "unipc": "UniPC",
    "unipcbh2": "UniPC",
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "pndm": "PNDM",
    "plms": "PNDM",
    "deis": "DEIS",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm2a": "DPM2 a",
    "dpm2ancestral": "DPM2 a",
    "lcm": "LCM",
    "tcd": "TCD",
}
"""By their names without capitals, signs and what says no more than that they are k-diffusion's."""
_PLAIN_SCHEDULES = {"", "automatic", "normal", "simple", "uniform", "native", "discrete", "ddimuniform"}
"""What leaves it to the sampler."""
_SCHEDULES: Mapping[str, str] = {
    "ays": AYS,
    "alignyoursteps": AYS,
    "sgmuniform": SGM_UNIFORM,
    "trailing": SGM_UNIFORM,
}
_NAME_CHARS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we call it."""

    sampler: str
    schedule: str | None = ""
    """One of SCHEDULES, or empty; None: by a schedule that it does not work with here."""


def known_as(sampler: str, schedule: str = "") -> Known | None:
    """None where there is none such.

    `schedule` is what some programs keep beside the sampler, such as "Karras".
    """
    if len(sampler) > _NAME_CHARS_MAX or len(schedule) > _NAME_CHARS_MAX:
        return None
    if (own := spelled(sampler)) in EVERY_SAMPLER and not schedule:
        return Known(sampler=own)
    name, marked = _stem(sampler)
    ours = _OURS.get(name)
    if ours is None:
        return None
    wanted = "karras" if marked else _bare(schedule)
    if wanted in _PLAIN_SCHEDULES:
        return Known(sampler=ours)
    if wanted in _SCHEDULES:
        fits = _SCHEDULES[wanted] in EVERY_SAMPLER[ours].schedules
        return Known(sampler=ours, schedule=_SCHEDULES[wanted] if fits else None)
    with_schedule = f"{ours} {wanted.capitalize()}"
    return (
        Known(sampler=with_schedule) if with_schedule in EVERY_SAMPLER else Known(sampler=ours, schedule=None)
    )


def _stem(sampler: str) -> tuple[str, bool]:
    """(name as in `_OURS`, whether it says Karras itself)."""
    name = re.sub(r"^(?:sample_)?k_?(?=euler|heun|dpm|lms)", "", sampler.strip().casefold())
    bare, marks = re.subn(r"(?:_k|[ _]karras)$", "", name)
    return re.sub(r"gpu$", "", _bare(bare)), marks > 0


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold().replace("++", "pp"))
