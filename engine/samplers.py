"""Names of samplers people know -> diffusers schedulers, with every flag that matters set; knows no model but its config.

A model's own sampler is used exactly as its files configure it, so that a default picture equals the plain
`pipe(prompt)` of every tutorial. Any other is built on the model's noise schedule (betas, prediction type, zero-SNR
rescaling, and timestep spacing where its files name one) with the flags below.
"""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.contract import SAMPLERS
from engine.contract.samplers import AYS, SGM_UNIFORM

FALLBACKS = ("DPM++ 2M Karras", "DPM++ 2M")
"""For a model whose own scheduler is none of ours: the first that fits it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One diffusers class and how it is set up."""

    scheduler: str
    flags: Mapping[str, Any]
    """What makes it this sampler."""
    unnamed: Mapping[str, Any]
    """What belongs to the model: used only where the model's files don't name it."""
    zero_snr: bool = True
    """Fit for models trained to zero signal-to-noise (`rescale_betas_zero_snr`). Most others don't know the flag and
    would draw with another noise schedule than the model's; Karras sigmas would spend many steps on one timestep."""
    eta: float = 0.0
    """How much noise a step adds, as `pipe()` is told: none, but for TCD what its makers use (Zheng et al. 2024, arXiv 2402.19159)."""


_PLAIN_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_KARRAS_SIGMAS = {**_PLAIN_SIGMAS, "use_karras_sigmas": True}
_MULTISTEP = {"solver_order": 2, "lower_order_final": True, "thresholding": False}
_DPM = {
    **_MULTISTEP,
    "solver_type": "midpoint",
    "euler_at_final": False,
    "use_lu_lambdas": False,
    "use_flow_sigmas": False,
    "final_sigmas_type": "zero",
}
_DPM_2M = {**_DPM, "algorithm_type": "dpmsolver++"}
_DPM_2M_SDE = {**_DPM, "algorithm_type": "sde-dpmsolver++"}


def _dpm(flags: Mapping[str, Any], *, zero_snr: bool = True) -> Setup:
    return Setup(
        scheduler="DPMSolverMultistepScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags=flags,
        zero_snr=zero_snr,
    )


SETUPS: Mapping[str, Setup] = {
    "Euler": Setup(
        scheduler="EulerDiscreteScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags={
            **_PLAIN_SIGMAS,
            "interpolation_type": "linear",
            "timestep_type": "discrete",
            "final_sigmas_type": "zero",
        },
    ),
    "Euler a": Setup(
        scheduler="EulerAncestralDiscreteScheduler", unnamed={"timestep_spacing": "linspace"}, flags={}
    ),
    "DPM++ 2M": _dpm({**_DPM_2M, **_PLAIN_SIGMAS}),
    "DPM++ 2M Karras": _dpm({**_DPM_2M, **_KARRAS_SIGMAS}, zero_snr=False),
    "DPM++ 2M SDE": _dpm({**_DPM_2M_SDE, **_PLAIN_SIGMAS}),
    "DPM++ 2M SDE Karras": _dpm({**_DPM_2M_SDE, **_KARRAS_SIGMAS}, zero_snr=False),
    "UniPC": Setup(
        scheduler="UniPCMultistepScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags={
            **_MULTISTEP,
            **_PLAIN_SIGMAS,
            "predict_x0": True,
            "solver_type": "bh2",
            "disable_corrector": [],
            "use_flow_sigmas": False,
            "final_sigmas_type": "zero",
        },
    ),
    "DDIM": Setup(
        scheduler="DDIMScheduler",
        unnamed={"timestep_spacing": "leading", "set_alpha_to_one": True},
        flags={"clip_sample": False, "thresholding": False},
    ),
    "DDPM": Setup(
        scheduler="DDPMScheduler",
        unnamed={"timestep_spacing": "leading"},
        flags={"clip_sample": False, "thresholding": False, "variance_type": "fixed_small"},
    ),
    "PNDM": Setup(
        scheduler="PNDMScheduler",
        unnamed={"timestep_spacing": "leading", "set_alpha_to_one": False},
        flags={"skip_prk_steps": True},
        zero_snr=False,
    ),
    "DEIS": Setup(
        scheduler="DEISMultistepScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags={
            **_MULTISTEP,
            **_PLAIN_SIGMAS,
            "algorithm_type": "deis",
            "solver_type": "logrho",
            "use_flow_sigmas": False,
        },
        zero_snr=False,
    ),
    "Heun": Setup(
        scheduler="HeunDiscreteScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags={**_PLAIN_SIGMAS, "clip_sample": False},
        zero_snr=False,
    ),
    "DPM2": Setup(
        scheduler="KDPM2DiscreteScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags=_PLAIN_SIGMAS,
        zero_snr=False,
    ),
    "DPM2 a": Setup(
        scheduler="KDPM2AncestralDiscreteScheduler",
        unnamed={"timestep_spacing": "linspace"},
        flags=_PLAIN_SIGMAS,
        zero_snr=False,
    ),
    "LCM": Setup(
        scheduler="LCMScheduler",
        unnamed={"timestep_spacing": "leading", "set_alpha_to_one": True},
        flags={"clip_sample": False, "thresholding": False},
    ),
    "TCD": Setup(
        scheduler="TCDScheduler",
        unnamed={"timestep_spacing": "leading", "set_alpha_to_one": True},
        flags={"clip_sample": False, "thresholding": False},
        eta=0.3,
    ),
}


_ETAS = {setup.scheduler: setup.eta for setup in SETUPS.values()}


def own(config: Mapping[str, Any]) -> str | None:
    """Our name for the sampler that a scheduler configuration describes, None where we have none."""
    scheduler = str(config.get("_class_name", ""))
    if scheduler == "DPMSolverMultistepScheduler":
        stochastic = str(config.get("algorithm_type", "dpmsolver++")).startswith("sde-")
        karras = bool(config.get("use_karras_sigmas"))
        return f"DPM++ 2M{' SDE' if stochastic else ''}{' Karras' if karras else ''}"
    return next((name for name, setup in SETUPS.items() if setup.scheduler == scheduler), None)


def offered(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The samplers that draw a model with this configuration as it was trained."""
    zero_snr = bool(config.get("rescale_betas_zero_snr"))
    fits = {name for name in SAMPLERS if not zero_snr or SETUPS[name].zero_snr}
    return tuple(name for name in SAMPLERS if name in fits or name == own(config))


def default(config: Mapping[str, Any]) -> str:
    """The model's own sampler, or a good one for it."""
    return own(config) or next(name for name in FALLBACKS if name in offered(config))


def make(name: str, config: Mapping[str, Any], schedule: str = "") -> Any:
    """A fresh diffusers scheduler for one picture. `config` is the model's own scheduler's (`pipe.scheduler.config`).

    Its timesteps are told with `begin`, by the same schedule.
    """
    spacing = {"timestep_spacing": "trailing"} if schedule == SGM_UNIFORM else {}
    return copy.deepcopy(_untouched(name, json.dumps([dict(config), spacing], sort_keys=True)))


@functools.lru_cache(maxsize=64)
def _untouched(name: str, told_json: str) -> Any:
    """One of each kind, never drawn with: DPM2 computes for 0.4 s when it is made, and everybody else would wait."""
    (config, spacing), setup = json.loads(told_json), SETUPS[name]
    scheduler = getattr(importlib.import_module("diffusers"), setup.scheduler)
    return scheduler.from_config(config, **{**_flags(name, setup, config), **spacing})


def _flags(name: str, setup: Setup, config: Mapping[str, Any]) -> dict[str, Any]:
    if own(config) == name:
        return (
            {"skip_prk_steps": True} if name == "PNDM" else {}
        )  # its first steps would cost four calls each
    named = _named(config)
    return {**{key: value for key, value in setup.unnamed.items() if key not in named}, **setup.flags}


def begin(scheduler: Any, steps: int, schedule: str, align_your_steps: str) -> None:
    """Tells a scheduler that `make` made its timesteps, as `pipe(num_inference_steps=)` or `pipe(timesteps=)` does.

    `align_your_steps`: diffusers' name of the list for this kind of model, in `AysSchedules`.
    """
    # A table on the GPU would be read back at every step.
    if schedule == AYS:
        lists = importlib.import_module("diffusers.schedulers.scheduling_utils").AysSchedules
        scheduler.set_timesteps(timesteps=lists[align_your_steps], device="cpu")
    else:
        scheduler.set_timesteps(steps, device="cpu")


def _named(config: Mapping[str, Any]) -> set[str]:
    """What a model's files name themselves: diffusers marks what it filled in from its own defaults."""
    filled: Iterable[str] = config.get("_use_default_values", ())
    return set(config) - set(filled)


def step_arguments(scheduler: Any, generator: Any) -> dict[str, Any]:
    """What this scheduler's `step` wants besides the prediction: its `eta`, and noise from this generator."""
    wanted = inspect.signature(scheduler.step).parameters
    arguments = {"eta": _ETAS.get(type(scheduler).__name__, 0.0), "generator": generator}
    return {key: value for key, value in arguments.items() if key in wanted}


def guess(scheduler: Any, seen: Any, prediction: Any, timestep: Any) -> Any:
    """The finished latents as one step straight to the end would give them: good for looking at, no more.

    `seen` is what the UNet was shown (`scale_model_input`), which for every scheduler is the picture times
    sqrt(alphas_cumprod) plus noise times the rest (DDIM's "predicted x0", Song et al. 2020, arXiv 2010.02502, eq. 12).
    """
    at = min(max(round(float(timestep)), 0), len(scheduler.alphas_cumprod) - 1)
    kept = float(scheduler.alphas_cumprod[at])
    signal, noise = max(kept, 4e-4) ** 0.5, (1 - kept) ** 0.5
    match scheduler.config.prediction_type:
        case "v_prediction":
            return kept**0.5 * seen - noise * prediction
        case "sample":
            return prediction
        case _:
            return (seen - noise * prediction) / signal
