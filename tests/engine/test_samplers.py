"""The table of samplers tells the truth: steps, calls, flags, and the model's own sampler stays its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers
import pytest
import torch

from engine import samplers
from engine.contract import SAMPLERS
from tests.kit.engines import TUTORIAL
from tests.kit.tiny import SCHEDULER

OWN: Mapping[str, dict[str, Any]] = {
    "Stable Diffusion 1.5": SCHEDULER,
    "velocity": {**SCHEDULER, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"},
    "Turbo": {**SCHEDULER, "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "trailing"},
    "zero SNR": {
        **SCHEDULER,
        "_class_name": "DDIMScheduler",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
}


def config_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as a loaded pipeline has it: defaults filled in and marked as such."""
    loaded = getattr(diffusers, values["_class_name"]).from_config(dict(values))
    return {**loaded.config, "_class_name": values["_class_name"]}


CASES = [(own, name) for own, values in OWN.items() for name in samplers.offered(config_of(values))]


@pytest.mark.parametrize(("own", "name"), CASES)
def test_calls_and_ranges(own: str, name: str) -> None:
    """Over its whole range a sampler makes exactly the calls the contract counts, and its numbers stay finite."""
    sampler, config = SAMPLERS[name], config_of(OWN[own])
    for steps in (1, 2, 3, 4, 7, 20, 25, 50, sampler.steps_max):
        scheduler = samplers.make(name, config)
        scheduler.set_timesteps(steps, device="cpu")
        generator = torch.Generator().manual_seed(0)
        latents = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
        extra = samplers.step_arguments(scheduler, generator)
        for timestep in scheduler.timesteps:
            prediction = torch.tanh(scheduler.scale_model_input(latents, timestep))
            latents = scheduler.step(prediction, timestep, latents, return_dict=False, **extra)[0]
        assert len(scheduler.timesteps) == sampler.evaluations(steps, steps), steps
        for taken in range(1, steps + 1):  # of an image to start from only the last ones are
            left = scheduler.timesteps[(steps - taken) * scheduler.order :]
            assert len(left) == sampler.evaluations(steps, taken), (steps, taken)
        assert torch.isfinite(latents).all(), steps
        assert (scheduler.timesteps == scheduler.timesteps[0]).sum() == 1  # or pipe would skip the first step


def test_one_more_step_is_refused_by_lcm() -> None:
    """The limit of LCM in the contract is the real one: one step more raises."""
    scheduler = samplers.make("LCM", config_of(SCHEDULER))
    with pytest.raises(ValueError, match="original_steps"):
        scheduler.set_timesteps(SAMPLERS["LCM"].steps_max + 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_flags_are_all_set(name: str) -> None:
    """Every flag of the table is one its class knows and took over, so a typo can't be ignored silently."""
    scheduler = samplers.make(name, config_of(OWN["velocity"]))
    setup = samplers.SETUPS[name]
    assert type(scheduler).__name__ == setup.scheduler == TUTORIAL[name][0]
    for key, value in setup.flags.items():
        assert scheduler.config[key] == value, key
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.beta_schedule == "scaled_linear"


@pytest.mark.parametrize("name", SAMPLERS)
def test_another_samplers_flags_do_not_leak(name: str) -> None:
    """A model that comes with Karras sigmas and an SDE solver does not turn “Euler” or “DPM++ 2M” into those."""
    config = config_of(
        {
            **SCHEDULER,
            "_class_name": "DPMSolverMultistepScheduler",
            "algorithm_type": "sde-dpmsolver++",
            "use_karras_sigmas": True,
            "final_sigmas_type": "sigma_min",
        }
    )
    made = samplers.make(name, config)
    assert samplers.own(config) == "DPM++ 2M SDE Karras"
    if "use_karras_sigmas" in inspect.signature(type(made).__init__).parameters:
        assert made.config.use_karras_sigmas == ("Karras" in name)
    if name.startswith("DPM++"):
        assert made.config.algorithm_type == ("sde-dpmsolver++" if "SDE" in name else "dpmsolver++")
        assert made.config.final_sigmas_type == ("sigma_min" if name == "DPM++ 2M SDE Karras" else "zero")


@pytest.mark.parametrize("own", OWN)
def test_the_models_own_sampler_is_untouched(own: str) -> None:
    """Under its own sampler's name a model gets exactly the configuration it came with."""
    config = config_of(OWN[own])
    name = samplers.own(config)
    assert name is not None
    assert samplers.default(config) == name
    made = dict(samplers.make(name, config).config)
    for key, value in config.items():
        if not key.startswith("_") and key in made:
            assert made[key] == value, key


@pytest.mark.parametrize("name", samplers.offered(config_of(OWN["zero SNR"])))
def test_zero_snr_is_kept(name: str) -> None:
    """A model trained to zero SNR is only offered samplers that keep its noise schedule and its spacing."""
    made = samplers.make(name, config_of(OWN["zero SNR"]))
    assert made.config.rescale_betas_zero_snr
    assert made.config.timestep_spacing == "trailing"


def test_unknown_scheduler_gets_a_good_default() -> None:
    """A model whose scheduler has none of our names is drawn with DPM++ 2M Karras, or without Karras at zero SNR."""
    config = {**SCHEDULER, "_class_name": "LMSDiscreteScheduler"}
    assert (samplers.own(config), samplers.default(config)) == (None, "DPM++ 2M Karras")
    assert samplers.default({**config, "rescale_betas_zero_snr": True}) == "DPM++ 2M"


def test_one_table() -> None:
    """Contract, setups and the tutorials' table name the same samplers."""
    assert set(SAMPLERS) == set(samplers.SETUPS) == set(TUTORIAL)
