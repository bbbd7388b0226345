"""What other programs call a sampler is the one of that algorithm here, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contract import EVERY_SAMPLER, SAMPLERS
from engine.contract.foreign_samplers import Known, known_as


@pytest.mark.parametrize("name", SAMPLERS)
def test_our_own_names_stay(name: str) -> None:
    """Whatever the capitals, and beside a schedule that leaves it to the sampler."""
    assert known_as(name.upper()) == Known(sampler=name)
    assert known_as(name, "Automatic") == Known(sampler=name) or name.endswith("Karras")


@pytest.mark.parametrize(
    ("sampler", "schedule", "ours"),
    [
        ("DPM++ 2M", "Karras", "DPM++ 2M Karras"),  # AUTOMATIC1111, Forge
        ("DPM++ 2M Karras", "", "DPM++ 2M Karras"),  # and before
        ("DPM++ 2M SDE Karras", "Karras", "DPM++ 2M SDE Karras"),
        ("PLMS", "", "PNDM"),
        ("dpmpp_2m_sde_gpu", "karras", "DPM++ 2M SDE Karras"),  # ComfyUI, Fooocus, SwarmUI
        ("euler_ancestral", "normal", "Euler a"),
        ("euler", "simple", "Euler"),
        ("uni_pc_bh2", "", "UniPC"),
        ("dpmpp_2m_k", "", "DPM++ 2M Karras"),  # InvokeAI
        ("kdpm_2_a", "", "DPM2 a"),
        ("k_euler_a", "", "Euler a"),
        ("k_euler_ancestral", "native", "Euler a"),  # NovelAI
        ("k_dpmpp_2m", "karras", "DPM++ 2M Karras"),
        ("Euler A", "", "Euler a"),  # Draw Things
    ],
)
def test_it_is_known(sampler: str, schedule: str, ours: str) -> None:
    """The same algorithm by the same schedule."""
    assert known_as(sampler, schedule) == Known(sampler=ours)


@pytest.mark.parametrize(
    ("sampler", "schedule", "ours"),
    [
        ("DPM++ 2M", "Align Your Steps", Known(sampler="DPM++ 2M", schedule="AYS")),
        ("euler", "sgm_uniform", Known(sampler="Euler", schedule="SGM Uniform")),
        ("tcd", "", Known(sampler="TCD")),
        ("DPM++ 2M Karras", "AYS", Known(sampler="DPM++ 2M Karras", schedule="")),
        ("DDIM", "AYS", Known(sampler="DDIM", schedule=None)),
    ],
)
def test_schedules(sampler: str, schedule: str, ours: Known) -> None:
    """Those that a sampler works with here are known beside it; a sampler that is Karras in its name stays that."""
    assert known_as(sampler, schedule) == ours


@pytest.mark.parametrize(
    ("sampler", "schedule", "ours"),
    [
        ("Euler", "Karras", "Euler"),
        ("euler", "beta", "Euler"),
        ("unipc_k", "", "UniPC"),
        ("DPM2 Karras", "", "DPM2"),
    ],
)
def test_a_schedule_that_there_is_not(sampler: str, schedule: str, ours: str) -> None:
    """The sampler is taken, and that the schedule is not is told."""
    assert known_as(sampler, schedule) == Known(sampler=ours, schedule=None)


@pytest.mark.parametrize("sampler", ["DPM++ 3M SDE", "res_multistep", "lms", "", "k_", "x" * 10_000])
def test_it_is_unknown(sampler: str) -> None:
    """Nothing is taken that is only called alike."""
    assert known_as(sampler, "Karras") is None


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_a_name_or_none(sampler: str, schedule: str) -> None:
    """Strangers write them."""
    ours = known_as(sampler, schedule)
    assert ours is None or ours.sampler in EVERY_SAMPLER
