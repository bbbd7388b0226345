"""All that can be drawn with, as what each is told of: models, LoRAs, embeddings. Pure; knows no person and no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.contract import AdapterInfo, ModelInfo


class Kind(StrEnum):
    MODEL = "model"
    LORA = "LoRA"
    EMBEDDING = "embedding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    kind: Kind
    name: str
    """By which people ask for it."""
    title: str
    description: str
    words: tuple[str, ...]
    """What to write in a prompt so that it shows."""
    preview: str
    """Path of a picture beside it, which nobody has looked into; empty where there is none."""
    model: ModelInfo | None = None
    """Itself, where it is one."""
    fits: tuple[str, ...] = ()
    """Titles of the models that it can be used with."""
    problem: str = ""
    """Why it can be used with none."""


def offers(models: Sequence[ModelInfo]) -> tuple[Offer, ...]:
    """Models in their order, the first is used where none is named; then LoRAs and embeddings, those of no use at the end."""
    found = [*map(_of_model, models)]
    for kind, by_model in (
        (Kind.LORA, {model.title: model.loras for model in models}),
        (Kind.EMBEDDING, {model.title: model.embeddings for model in models}),
    ):
        found += sorted(_of_files(kind, by_model), key=lambda offer: not offer.fits)
    return tuple(found)


def for_upscaling(models: Sequence[ModelInfo], times: int) -> ModelInfo:
    """Which of the models, of which there is at least one, enlarges where none is named: an upscaler if there is one."""
    able = (model for model in models if model.scale >= times)
    drawing = (model for model in models if model.takes_images and not model.needs_mask and model.scale == 1)
    return next(able, next(drawing, models[0]))


def called(name: str, offered: Sequence[Offer]) -> list[Offer]:
    """Those of that name or title, one of each kind at most."""
    wanted = name.strip().casefold()
    found = (offer for offer in offered if wanted in (offer.name.casefold(), offer.title.casefold()))
    return [*{offer.kind: offer for offer in reversed([*found])}.values()][::-1]


def _of_model(model: ModelInfo) -> Offer:
    return Offer(
        kind=Kind.MODEL,
        name=model.id,
        title=model.title,
        description=model.description,
        words=model.words,
        preview=model.preview,
        model=model,
    )


def _of_files(kind: Kind, by_model: dict[str, tuple[AdapterInfo, ...]]) -> Iterator[Offer]:
    infos: dict[str, AdapterInfo] = {}
    fits: dict[str, list[str]] = {}
    for title, files in by_model.items():
        for info in files:
            infos.setdefault(info.name, info)
            if not info.problem:
                fits.setdefault(info.name, []).append(title)
    for name, info in infos.items():
        yield Offer(
            kind=kind,
            name=name,
            title=name,
            description=info.description,
            words=info.words,
            preview=info.preview,
            fits=tuple(fits.get(name, ())),
            problem="" if name in fits else info.problem,
        )
