"""All that the bot and an engine say to each other: requests, models, messages, settings and their bounds.

Standard library only; knows neither Discord nor torch. What others need of it is named here.
"""

from __future__ import annotations

from engine.contract.embeddings import AGAINST
from engine.contract.embeddings import added as with_embeddings
from engine.contract.fake_settings import FakeSettings
from engine.contract.limits import (
    ASPECTS,
    GUIDANCE_MAX,
    GUIDANCE_MIN,
    IMAGES_MAX,
    PROMPT_CHARS_MAX,
    REFERENCES_MAX,
    SIDE_MAX,
    SIDE_MIN,
    SIDE_MULTIPLE,
    UPSCALE_MAX,
    UPSCALED_SIDE_MAX,
    Listed,
    choice_of,
    least_strength,
    parse_size,
)
from engine.contract.loras import AdapterInfo, Lora, from_prompt, misread
from engine.contract.loras import parse as parse_loras
from engine.contract.messages import (
    EXIT_BROKEN,
    EXIT_DEVICE_LOST,
    EXIT_OK,
    Broken,
    Cancel,
    Cancelled,
    Control,
    Event,
    Failed,
    Finished,
    Loading,
    Ready,
    Shutdown,
    SpooledImage,
    Stage,
    Started,
    Stepped,
    Submit,
)
from engine.contract.models import FULL, STARTER, TINY, ModelInfo
from engine.contract.recipes import Recipe
from engine.contract.requests import SEEDS, GenerationRequest, Start
from engine.contract.samplers import EVERY_SAMPLER, LANCZOS, OWN_SAMPLER, SAMPLERS, SCHEDULES, Sampler
from engine.contract.settings import (
    ROWS,
    WIDE_ROWS,
    EngineSettings,
    HubTries,
    Metadata,
    Mode,
    ModeOrAuto,
    Runtime,
    Switch,
)
from engine.errors import InvalidRequest

__all__ = [
    "AGAINST",
    "ASPECTS",
    "EVERY_SAMPLER",
    "EXIT_BROKEN",
    "EXIT_DEVICE_LOST",
    "EXIT_OK",
    "FULL",
    "GUIDANCE_MAX",
    "GUIDANCE_MIN",
    "IMAGES_MAX",
    "LANCZOS",
    "OWN_SAMPLER",
    "PROMPT_CHARS_MAX",
    "REFERENCES_MAX",
    "ROWS",
    "SAMPLERS",
    "SCHEDULES",
    "SEEDS",
    "SIDE_MAX",
    "SIDE_MIN",
    "SIDE_MULTIPLE",
    "STARTER",
    "TINY",
    "UPSCALED_SIDE_MAX",
    "UPSCALE_MAX",
    "WIDE_ROWS",
    "AdapterInfo",
    "Broken",
    "Cancel",
    "Cancelled",
    "Control",
    "EngineSettings",
    "Event",
    "Failed",
    "FakeSettings",
    "Finished",
    "GenerationRequest",
    "HubTries",
    "InvalidRequest",
    "Listed",
    "Loading",
    "Lora",
    "Metadata",
    "Mode",
    "ModeOrAuto",
    "ModelInfo",
    "Ready",
    "Recipe",
    "Runtime",
    "Sampler",
    "Shutdown",
    "SpooledImage",
    "Stage",
    "Start",
    "Started",
    "Stepped",
    "Submit",
    "Switch",
    "choice_of",
    "from_prompt",
    "least_strength",
    "misread",
    "parse_loras",
    "parse_size",
    "with_embeddings",
]
