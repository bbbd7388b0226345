"""One training from its first file to its last, as events: whoever asks for the next one lets it work for a micro-step.

Knows the folder of models and how a model is loaded; neither a terminal nor a queue.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import io
import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine import errors
from engine.checkpoints import adapters, describe
from engine.checkpoints.architectures import BY_FAMILY
from engine.checkpoints.header import read_header
from engine.checkpoints.source import Source
from engine.contract import EngineSettings, ModelInfo
from engine.contract.loras import is_name
from engine.contract.training import (
    Checkpointed,
    Event,
    Flagged,
    Noted,
    Preparing,
    Sampled,
    Stage,
    Stepped,
    Taught,
)
from engine.device import fingerprint
from engine.errors import InvalidTraining, NoRoom
from engine.loading import load
from engine.training import guests, pictures
from engine.training.settings import TrainingSettings
from engine.training.unfinished import Saved, Unfinished, write

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from engine.families.base import Checker
    from engine.training.pictures import Collection
    from engine.training.prepared import Lesson
    from engine.training.trainer import Trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A training beside an engine that draws: it looks at every picture first, and ends where there is no room for it."""

    folder: str
    """The name of its own among those of what is under way, whatever its LoRA is called."""


class Course:
    """A training. `stop` may be called at any moment: it ends after the present step, and keeps it."""

    def __init__(
        self,
        engine: EngineSettings,
        settings: TrainingSettings,
        begun: Saved | None = None,
        guest: Guest | None = None,
    ) -> None:
        """`begun`: the checkpoint to go on from, whose settings these are."""
        self._engine, self._settings, self._begun, self._guest = engine, settings, begun, guest
        self._stopped = False
        self._models = _models(engine)
        self._unfinished = Unfinished(self._models, settings.name if guest is None else guest.folder)
        self._checkers: list[Checker] = []

    @classmethod
    def new(cls, engine: EngineSettings, settings: TrainingSettings) -> Self:
        """Raises InvalidTraining where the settings are no good, or their name is taken."""
        settings.check()
        course = cls(engine, settings)
        name, there = settings.name, course._unfinished.saved()
        if name in adapters.paths(course._models, adapters.LORAS):
            raise InvalidTraining(
                f"There is a LoRA “{name}” already: choose another --name, or take that one away."
            )
        if there is not None:
            raise InvalidTraining(
                f"A training “{name}” was begun and is at step {there.done} of {there.settings.steps}: "
                f"go on with --resume, or delete {course._unfinished.folder}."
            )
        return course

    @classmethod
    def resumed(cls, engine: EngineSettings, typed: Mapping[str, Any]) -> Self:
        """The training of the name that was `typed`, as it was begun. Raises InvalidTraining."""
        name = str(typed["name"])
        there = Unfinished(_models(engine), name).saved() if is_name(name) else None
        if there is None:
            raise InvalidTraining(f"There is no training “{name}” to go on with: begin it without --resume.")
        said = {key: value for key, value in typed.items() if key not in {"name", "folder"}}
        if option := there.settings.differing(said):
            raise InvalidTraining(
                f"{option}: this training goes on as it was begun: leave that out, or begin anew under another --name."
            )
        return cls(engine, replace(there.settings, folder=str(typed["folder"])), there)

    @classmethod
    def of_guest(cls, engine: EngineSettings, settings: TrainingSettings, guest: Guest) -> Self:
        """Goes on from the checkpoint where there is one, else begins. Raises InvalidTraining."""
        settings.check()
        there = Unfinished(_models(engine), guest.folder).saved()
        if there is None:
            return cls(engine, settings, guest=guest)
        return cls(engine, replace(there.settings, folder=settings.folder), there, guest)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> Generator[Event]:
        """Raises InvalidTraining and BrokenModel. Without `Taught` at its end it was stopped."""
        if self._guest is not None and (there := self._lying()) is not None:
            yield there
            return
        source = Source.of(self._engine.model)
        info = describe.describe(source, self._engine)
        _check_kind(info)
        place = _place(self._engine, info)
        settings = self._settings.resolved(info, on_card=place.device.type != "cpu")
        yield Preparing(stage=Stage.PICTURES, share=None)
        collection = pictures.collect(settings, info)
        for note in collection.notes:
            yield Noted(text=note)
        yield Preparing(stage=Stage.MODEL, share=None)
        fingerprint.pin(info)
        pipeline = load.load(
            source, self._engine, replace(place, device=_processor(), profile="full")
        ).pipeline
        _check_parts(pipeline, info)
        if (note := _everyday(pipeline, settings.trigger)) is not None:
            yield Noted(text=note)
        saved = Saved(
            settings=settings,
            done=0,
            base=fingerprint.digest(source),
            pictures=tuple(each.digest for each in collection.examples),
        )
        if self._begun is not None:
            _check_same(self._begun, saved)
        pipeline.set_progress_bar_config(disable=True)
        try:
            if self._guest is not None:
                self._checkers = guests.checkers(self._engine, pipeline)
                flagged = yield from guests.look(self._checkers, collection)
                if flagged:
                    yield Flagged(files=flagged)
                    return
                yield from self._find_room(pipeline, settings, place.device)
            yield from self._teach(pipeline, info, collection, saved, place.device)
        except Exception as error:
            errors.check_device(error)
            if not errors.is_out_of_memory(error):
                raise
            raise NoRoom(
                f"There is not enough memory on {place.device} to teach {info.title} at {settings.resolution} pixels: "
                "take a smaller --resolution or --batch, or end what else uses it. The last checkpoint is kept."
            ) from error

    def _lying(self) -> Taught | None:
        """The LoRA, where it came to lie there and nobody was told. Raises InvalidTraining where it is another one."""
        assert self._guest is not None
        file = adapters.paths(self._models, adapters.LORAS).get(self._settings.name)
        if file is None:
            return None
        if read_header(file, file.name).texts.get(_GUEST) != self._guest.folder:
            raise InvalidTraining(f"There is another LoRA “{self._settings.name}” by now.")
        self._unfinished.end()
        return Taught(file=str(file))

    def _find_room(self, pipeline: Any, settings: TrainingSettings, device: torch.device) -> Generator[Event]:
        """Raises NoRoom."""
        told = guests.needs(pipeline, settings, device)
        if told is None:
            return
        yield told
        if told.needed > told.free:
            raise NoRoom(
                f"There is not enough memory on {device} now: it takes {told.needed / 1e9:.1f} GB, and "
                f"{told.free / 1e9:.1f} GB are free."
            )

    def _teach(
        self,
        pipeline: Any,
        info: ModelInfo,
        collection: Collection,
        saved: Saved,
        device: torch.device,
    ) -> Generator[Event]:
        from engine.training import samples
        from engine.training.trainer import Trainer

        settings = saved.settings
        lessons = yield from _lessons(pipeline, collection, device)
        kept: list[Lesson] = []
        for number, prompt in enumerate(settings.keep):
            yield Preparing(stage=Stage.KEPT, share=number / len(settings.keep))
            kept.append(samples.keep(pipeline, info, prompt, settings.seed + number, device))
        trainer = Trainer(settings, pipeline, lessons, kept, device)
        if self._begun is not None:
            _restore(trainer, self._unfinished, self._begun)
        began, before = time.monotonic(), trainer.done
        while trainer.done < settings.steps:
            loss = trainer.micro_step()
            pace = (time.monotonic() - began) / max(1, trainer.done - before)
            left = (settings.steps - trainer.done) * pace if trainer.done > before else None
            yield Stepped(done=trainer.done, steps=settings.steps, loss=loss, left_s=left)
            is_end = trainer.done == settings.steps
            if loss is not None and (trainer.done % settings.save_every == 0 or is_end or self._stopped):
                self._unfinished.save(replace(saved, done=trainer.done), trainer.state())
                yield Checkpointed(done=trainer.done)
                if self._stopped and not is_end:
                    return
            every = settings.sample_every
            if loss is not None and every and trainer.done % every == 0 and not is_end:
                drawn = self._draw(pipeline, info, settings, device)
                yield Sampled(sheet=str(self._unfinished.add_samples(trainer.done, drawn)))
        drawn = self._draw(pipeline, info, settings, device)
        if settings.sample_every:
            yield Sampled(sheet=str(self._unfinished.add_samples(trainer.done, drawn)))
        yield self._finish(trainer, info, saved, drawn[0])

    def _draw(
        self, pipeline: Any, info: ModelInfo, settings: TrainingSettings, device: torch.device
    ) -> list[Image]:
        """The samples; what a checker flags is grey."""
        from engine.training import samples

        drawn = samples.draw(pipeline, info, settings.samples, settings.seed, device)
        return [guests.shown(self._checkers, image) for image in drawn]

    def _finish(self, trainer: Trainer, info: ModelInfo, saved: Saved, drawn: Image) -> Taught:
        """The file itself comes last: from then on the LoRA is offered, with its words and picture."""
        from engine.training import lora

        settings, folder = saved.settings, self._models / adapters.LORAS
        told = {"activation text": settings.trigger, "description": _description(saved, info)}
        write(folder, f"{settings.name}.json", json.dumps(told, ensure_ascii=False, indent=1).encode())
        picture = io.BytesIO()
        drawn.save(picture, "PNG")
        write(folder, f"{settings.name}.png", picture.getvalue())
        name = f"{settings.name}.safetensors"
        own = {} if self._guest is None else {_GUEST: self._guest.folder}
        write(folder, name, lora.as_file(trainer.tensors(), _texts(saved, info, trainer) | own))
        self._unfinished.end()
        return Taught(file=str(folder / name))


# ------------------------------------------------------------------ its parts


def _models(engine: EngineSettings) -> Path:
    if engine.models is None:
        raise InvalidTraining(
            "There is no folder of models to put a LoRA into: set dir under [models] in easel.toml."
        )
    return Path(engine.models)


def _lessons(
    pipeline: Any, collection: Collection, device: torch.device
) -> Generator[Event, None, list[Lesson]]:
    from engine.training import prepared

    found: list[Lesson] = []
    for number, lesson in enumerate(prepared.lessons(pipeline, collection.examples, device)):
        found.append(lesson)
        yield Preparing(stage=Stage.ENCODING, share=(number + 1) / len(collection.examples))
    return found


def _place(engine: EngineSettings, info: ModelInfo) -> Any:
    """Where it learns: on cards in bfloat16 where they have it, which holds numbers as large as float32 does."""
    import torch

    from engine.device.choice import choose

    place = choose(replace(engine, mode="exact")).place(info.family)
    if place.device.type == "cuda" and engine.dtype == "auto" and torch.cuda.is_bf16_supported():
        return replace(place, dtype=torch.bfloat16)
    return place


def _processor() -> torch.device:
    import torch

    return torch.device("cpu")


def _check_kind(info: ModelInfo) -> None:
    if not BY_FAMILY[info.family].takes_adapters:
        raise InvalidTraining(
            f"{info.title} can't be taught a LoRA here: take a Stable Diffusion or SDXL model with --model."
        )


def _check_parts(pipeline: Any, info: ModelInfo) -> None:
    """Models distilled to take guidance as an input, and those that are shown a mask, learn otherwise."""
    config = pipeline.unet.config
    if config.time_cond_proj_dim is not None or config.in_channels != pipeline.vae.config.latent_channels:
        raise InvalidTraining(
            f"{info.title} was made for few steps or for filling masks, which would be unlearned: "
            "teach the model that it was made from, with --model."
        )


def _everyday(pipeline: Any, trigger: str) -> str | None:
    """A warning where the model surely has a meaning for the trigger already."""
    if len(trigger.split()) > 1 or len(pipeline.tokenizer(trigger, add_special_tokens=False).input_ids) > 1:
        return None
    return (
        f"“{trigger}” is a word that the model knows already, and will mean this from now on: "
        "two words, or an invented one, leave it its own."
    )


def _check_same(begun: Saved, now: Saved) -> None:
    if begun.base != now.base:
        raise InvalidTraining("This training was begun with another model: name that one with --model.")
    if begun.pictures != now.pictures:
        raise InvalidTraining(
            "The pictures are not those that this training was begun with: put them back, or begin anew under another --name."
        )


def _restore(trainer: Trainer, unfinished: Unfinished, begun: Saved) -> None:
    try:
        trainer.restore(unfinished.state(), begun.done)
    except (LookupError, RuntimeError, ValueError):
        raise InvalidTraining(
            f"The checkpoint in {unfinished.folder} does not fit this model: delete that folder, and begin anew."
        ) from None


def _description(saved: Saved, info: ModelInfo) -> str:
    return f"taught {info.title} from {len(saved.pictures)} pictures in {saved.settings.steps} steps"


def _texts(saved: Saved, info: ModelInfo, trainer: Trainer) -> dict[str, str]:
    """What the file says of itself, by the names that kohya's trainers and Stability's specification have for it."""
    settings = saved.settings
    base, architecture = _BASES.get((info.family, trainer.words_width), (info.title, info.title))
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": settings.name,
        "modelspec.description": _description(saved, info),
        "modelspec.trigger_phrase": settings.trigger,
        "modelspec.prediction_type": "v" if trainer.prediction == "v_prediction" else trainer.prediction,
        "modelspec.resolution": f"{settings.resolution}x{settings.resolution}",
        "ss_base_model_version": base,
        "ss_sd_model_name": info.id,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(settings.rank),
        "ss_network_alpha": str(settings.rank),
        "ss_output_name": settings.name,
        "ss_num_train_images": str(len(saved.pictures)),
        "ss_max_train_steps": str(settings.steps),
        "ss_steps": str(settings.steps),
        "ss_learning_rate": str(settings.rate),
        "ss_seed": str(settings.seed),
        "easel.base": saved.base,
        "easel.pictures": json.dumps(saved.pictures),
    }


_GUEST = "easel.training"
"""In a file that a guest made: which one."""
_BASES = {
    ("sd", 768): ("sd_v1", "stable-diffusion-v1"),
    ("sd", 1024): ("sd_v2", "stable-diffusion-v2"),
    ("sdxl", 2048): ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base"),
}
"""By family, and the numbers that its UNet sees of each token: what other programs call it."""
