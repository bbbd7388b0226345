"""What a training is told: plain values, checked, as JSON and back. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, cast, get_args

from engine.contract import ModelInfo
from engine.contract.loras import is_name
from engine.errors import InvalidTraining

SMALL_PIXELS = 256 * 256
"""Models of pictures up to here are small networks, which learn at higher rates and in larger batches."""
Layers = Literal["attention", "all"]
"""The linear layers around attention, as diffusers and kohya teach them | every layer, convolutions too."""
Schedule = Literal["constant", "cosine"]
_STEPS_MAX, _RANK_MAX, _SIDE_MAX, _BATCH_MAX = 100_000, 256, 2048, 64
_CHARS_MAX = 500
_OPTIONS = {"samples": "sample"}
"""What a field is called on a command line, where that is not its own name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What is to be taught, from what, and how. None: by the model, which `resolved` fills in."""

    name: str
    """Of the LoRA, as prompts ask for it."""
    trigger: str
    """The words that stand for what is taught."""
    folder: str
    """With the pictures, and a `.txt` beside each that has a caption of its own."""
    caption: str = "{trigger}"
    """Of pictures without one."""
    steps: int = 500
    """Of the optimizer."""
    rank: int = 16
    resolution: int | None = None
    """Pixels; pictures are brought to its square's area, in their own shape."""
    rate: float | None = None
    text_rate: float = 0.0
    """The same for the text encoders; 0: they stay as they are."""
    batch: int | None = None
    """Pictures of one micro-step."""
    accumulation: int = 1
    """Micro-steps of one step."""
    schedule: Schedule = "cosine"
    warmup: int = 0
    """Steps until the rate is reached."""
    snr_gamma: float = 5.0
    """min-SNR weighting (Hang et al. 2023); 0: every noise counts alike."""
    layers: Layers | None = None
    keep: tuple[str, ...] = ()
    """Prompts whose pictures the model is to draw as before: it draws them itself first, and learns them along."""
    keep_weight: float = 1.0
    checkpointing: bool | None = None
    """Computes activations twice instead of keeping them; None: on graphics cards."""
    seed: int = 0
    save_every: int = 50
    """Steps between two checkpoints: the most that is lost when the process is killed."""
    sample_every: int = 100
    """Steps between two rows of the contact sheet; 0: none are drawn."""
    samples: tuple[str, ...] = ()
    """Their prompts; none: the trigger."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises InvalidTraining for what is no JSON of these fields."""
        try:
            return cls(**_with_tuples(json.loads(text)))
        except (ValueError, TypeError) as error:
            raise InvalidTraining(f"The training's settings can't be read ({error}).") from None

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    def check(self) -> None:
        """Raises InvalidTraining, with the option that is to blame."""
        if not is_name(self.name):
            raise InvalidTraining(
                f"--name: “{self.name[:40]}” is no name for a LoRA: leave out commas, colons, slashes and brackets, and stay within 80 characters."
            )
        for option, text in {"--trigger": self.trigger, "--caption": self.caption}.items():
            if not text.strip() or len(text) > _CHARS_MAX or not text.isprintable():
                raise InvalidTraining(
                    f"{option}: give a few words on one line, at most {_CHARS_MAX} characters."
                )
        for option, (word, words) in {
            "--schedule": (self.schedule, get_args(Schedule)),
            "--layers": (self.layers, (None, *get_args(Layers))),
        }.items():
            if word not in words:
                raise InvalidTraining(f"{option}: take {' or '.join(filter(None, words))}, not “{word}”.")
        for option, (value, least, most) in self._numbers().items():
            if value is not None and not least <= value <= most:
                raise InvalidTraining(f"{option}: take {least:g} to {most:g}, not {value:g}.")

    def _numbers(self) -> dict[str, tuple[float | None, float, float]]:
        """What was said, and its bounds."""
        return {
            "--steps": (self.steps, 1, _STEPS_MAX),
            "--rank": (self.rank, 1, _RANK_MAX),
            "--resolution": (self.resolution, 64, _SIDE_MAX),
            "--rate": (self.rate, 1e-7, 0.1),
            "--text-rate": (self.text_rate, 0, 0.1),
            "--batch": (self.batch, 1, _BATCH_MAX),
            "--accumulation": (self.accumulation, 1, 1000),
            "--snr-gamma": (self.snr_gamma, 0, 100),
            "--warmup": (self.warmup, 0, self.steps),
            "--seed": (self.seed, 0, 2**32 - 1),
            "--save-every": (self.save_every, 1, _STEPS_MAX),
            "--sample-every": (self.sample_every, 0, _STEPS_MAX),
        }

    def resolved(self, info: ModelInfo, *, on_card: bool) -> Self:
        """With what the model says where nobody else did."""
        small = info.width * info.height <= SMALL_PIXELS
        usual = {
            "resolution": round((info.width * info.height) ** 0.5),
            "rate": 1e-3 if small else 1e-4,
            "batch": 8 if small else 1,
            "layers": "all" if small else "attention",
            "checkpointing": on_card,
        }
        unsaid = {key: value for key, value in usual.items() if getattr(self, key) is None}
        return replace(self, **unsaid, samples=self.samples or (self.trigger,))

    def differing(self, typed: Mapping[str, Any]) -> str:
        """The first option that was typed and says something else than these, "" where none does."""
        said = _with_tuples(typed)
        other = (
            each.name
            for each in fields(self)
            if said.get(each.name, getattr(self, each.name)) != getattr(self, each.name)
        )
        return next((f"--{_OPTIONS.get(name, name.replace('_', '-'))}" for name in other), "")


def _with_tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where settings have tuples."""
    return {
        key: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
        for key, value in told.items()
    }
