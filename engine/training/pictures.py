"""The pictures that are learned from: read with their captions, refused with a sentence each, sorted by shape; knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from engine.contract import InvalidRequest, ModelInfo
from engine.errors import InvalidTraining
from engine.pictures import decoding
from engine.pictures.inputs import BYTES_MAX
from engine.training.settings import TrainingSettings

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
PICTURES_MIN, PICTURES_MAX = 2, 1000
_CAPTION_BYTES = 4096
_SIDES_APART = 2.0
"""The longest shape: what is longer is cut."""
_STEP = 64
"""Pixels between two shapes, of large pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One picture as it is learned: scaled and cut to a shape that others share."""

    caption: str
    file: str
    """Its name in the folder."""
    digest: str
    """SHA-256 of its file."""
    image: Image.Image = field(compare=False)
    """RGB."""
    scaled: tuple[int, int]
    """Width and height before it was cut; SDXL is told them."""
    corner: tuple[int, int]
    """(left, top) of what was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    """Sentences about what was left out or done to them."""


def collect(settings: TrainingSettings, info: ModelInfo) -> Collection:
    """All pictures of the folder, by name. Raises InvalidTraining, with a line for each that is no good."""
    folder = Path(settings.folder)
    files = _files(folder)
    examples, notes, problems = dict[str, Example](), list[str](), list[str]()
    for file in files:
        try:
            data = _bytes_of(file)
            digest = hashlib.sha256(data).hexdigest()
            if digest in examples:
                notes.append(f"{file.name} is the same picture as another one: it was left out.")
                continue
            example, small = _example(file, data, digest, settings, info)
        except InvalidTraining as problem:
            problems.append(str(problem))
            continue
        examples[digest] = example
        if small:
            notes.append(
                f"{file.name} is smaller than what is learned at: it was enlarged, and may look soft."
            )
    if problems:
        raise InvalidTraining("\n".join(problems))
    if len(examples) < PICTURES_MIN:
        raise InvalidTraining(
            f"{folder} holds one picture only, which would be learned by heart: put some ten different ones there."
        )
    return Collection(examples=tuple(examples.values()), notes=tuple(notes))


def _files(folder: Path) -> list[Path]:
    try:
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
        )
    except OSError as error:
        raise InvalidTraining(f"The folder {folder} can't be read: {error.strerror or error}.") from None
    if not files:
        raise InvalidTraining(f"There are no pictures in {folder}: put PNG, JPEG or WebP files there.")
    if len(files) > PICTURES_MAX:
        raise InvalidTraining(
            f"{folder} holds {len(files)} pictures: take at most {PICTURES_MAX}, the best ones."
        )
    return files


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidTraining(f"{file.name} can't be read: {error.strerror or error}.") from None
    if len(data) > BYTES_MAX:
        raise InvalidTraining(
            f"{file.name} is larger than {BYTES_MAX // 2**20} MiB: save it smaller, or take it away."
        )
    return data


def _example(
    file: Path, data: bytes, digest: str, settings: TrainingSettings, info: ModelInfo
) -> tuple[Example, bool]:
    """The picture, and whether it had to be enlarged."""
    try:
        image = decoding.shown(data, within_s=decoding.WITHIN_S)
    except InvalidRequest:
        raise InvalidTraining(
            f"{file.name} can't be read as PNG, JPEG or WebP, or is too large: save it anew, or take it away."
        ) from None
    caption = _caption(file, settings)
    width, height = shape_of(image.size, settings.resolution or info.width, info.side_multiple)
    scale = max(width / image.width, height / image.height)
    scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    fitted = image.resize(scaled, Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))
    example = Example(
        caption=caption, file=file.name, digest=digest, image=fitted, scaled=scaled, corner=(left, top)
    )
    return example, scale > 1


def shape_of(size: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """(width, height) that a picture of this size is brought to: about side x side pixels, nearly its own shape."""
    step = -(-min(_STEP, max(1, side // 8)) // multiple) * multiple
    ratio = min(_SIDES_APART, max(1 / _SIDES_APART, size[0] / size[1])) ** 0.5
    width, height = (max(step, round(each / step) * step) for each in (side * ratio, side / ratio))
    return width, height


def _caption(file: Path, settings: TrainingSettings) -> str:
    """Of the `.txt` beside it, else the usual one; either names the trigger."""
    beside = file.with_suffix(".txt")
    text = settings.caption
    try:
        with beside.open("rb") as opened:
            text = opened.read(_CAPTION_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        pass
    except UnicodeDecodeError:
        raise InvalidTraining(f"{beside.name} is not in UTF-8: save it so.") from None
    except OSError as error:
        raise InvalidTraining(f"{beside.name} can't be read: {error.strerror or error}.") from None
    words = " ".join(text.replace("{trigger}", settings.trigger).split())
    if settings.trigger.casefold() in words.casefold():
        return words
    return f"{settings.trigger}, {words}" if words else settings.trigger


def batch(shapes: Sequence[tuple[int, int]], size: int, seed: int, number: int) -> list[int]:
    """Which examples are learned together the `number`th time, from 0: of one shape, each once in every round.

    `shapes`: of each example. Where a shape has too few for a batch some come twice.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for example, shape in enumerate(shapes):
        alike.setdefault(shape, []).append(example)
    turn, at = divmod(number, sum(-(-len(members) // size) for members in alike.values()))
    random = Random(f"{seed}/round/{turn}")  # noqa: S311 - nobody is to be kept from guessing it
    together: list[list[int]] = []
    for members in alike.values():
        mixed = random.sample(members, len(members))
        cut = [mixed[start : start + size] for start in range(0, len(mixed), size)]
        cut[-1] += random.choices(members, k=size - len(cut[-1]))
        together += cut
    random.shuffle(together)
    return together[at]
