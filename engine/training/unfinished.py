"""A training that has not ended, on disk: its last checkpoint and its samples; complete or not at all. Knows no pipeline."""

# safetensors describes its types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from engine.checkpoints.header import read_header
from engine.contract.training import SHEET, UNFINISHED
from engine.errors import BrokenModel, InvalidTraining
from engine.pictures import spool
from engine.training import lora
from engine.training.settings import TrainingSettings

CHECKPOINT = "checkpoint.safetensors"
_GAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint: where the training was, and what it is the training of."""

    settings: TrainingSettings
    """Resolved."""
    done: int
    base: str
    """The model's digest."""
    pictures: tuple[str, ...]
    """SHA-256 of each, in their order."""


class Unfinished:
    """The folder of one training."""

    def __init__(self, models: Path, name: str) -> None:
        self.folder = models / UNFINISHED / name

    @property
    def sheet(self) -> Path:
        """All samples: a row for each time, a column for each prompt."""
        return self.folder / SHEET

    def saved(self) -> Saved | None:
        """What the last checkpoint is of, None where there is none. Raises InvalidTraining where it can't be read."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        try:
            told = read_header(path, path.name).texts
            return Saved(
                settings=TrainingSettings.from_json(told["settings"]),
                done=int(told["done"]),
                base=told["base"],
                pictures=tuple(json.loads(told["pictures"])),
            )
        except (BrokenModel, LookupError, ValueError):
            raise self._damaged() from None

    def state(self) -> dict[str, Tensor]:
        """Of the last checkpoint. Raises InvalidTraining."""
        try:
            return load((self.folder / CHECKPOINT).read_bytes())
        except (OSError, SafetensorError):
            raise self._damaged() from None

    def save(self, saved: Saved, state: Mapping[str, Tensor]) -> None:
        """In the place of the one before, which stays until this one is whole. Raises InvalidTraining."""
        texts = {
            "settings": saved.settings.to_json(),
            "done": str(saved.done),
            "base": saved.base,
            "pictures": json.dumps(saved.pictures),
        }
        write(self.folder, CHECKPOINT, lora.as_file(state, texts))

    def add_samples(self, step: int, pictures: list[Image.Image]) -> Path:
        """Into the contact sheet, which is made anew of all that there are. Raises InvalidTraining."""
        row = Image.new(
            "RGB", (sum(each.width + _GAP for each in pictures), pictures[0].height + _GAP), "white"
        )
        left = 0
        for each in pictures:
            row.paste(each, (left, 0))
            left += each.width + _GAP
        try:
            (self.folder / "rows").mkdir(parents=True, exist_ok=True)
            row.save(self.folder / "rows" / f"{step:06}.png")
            rows = [Image.open(file) for file in sorted((self.folder / "rows").glob("*.png"))]
            sheet = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows)), "white")
            top = 0
            for each in rows:
                sheet.paste(each, (0, top))
                top += each.height
            sheet.save(self.sheet)
        except OSError as error:
            raise _full(self.sheet.name, error) from None
        return self.sheet

    def end(self) -> None:
        """The LoRA is there: of what was unfinished the contact sheet stays."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "rows", ignore_errors=True)

    def _damaged(self) -> InvalidTraining:
        return InvalidTraining(
            f"The checkpoint in {self.folder} can't be read: delete that folder, and begin anew."
        )


def write(folder: Path, name: str, data: bytes) -> None:
    """Durably, and in one step. Raises InvalidTraining."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        spool.write(folder, name, data)
    except OSError as error:
        raise _full(name, error) from None


def _full(name: str, error: OSError) -> InvalidTraining:
    return InvalidTraining(
        f"{name} could not be saved ({error.strerror or error}): the last checkpoint is kept. "
        "Make room, then go on with --resume."
    )
