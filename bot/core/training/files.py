"""What of trainings lies on disk: their pictures, what is under way, and what came of it. Knows paths; no row's life, no process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.config import Settings
from bot.training import Training, TrainingPicture
from engine.contract.training import SHEET, UNFINISHED
from engine.pictures import spool

_LORAS = "loras"
_BESIDE = (".safetensors", ".json", ".png")


def label(training_id: int) -> str:
    """What its folder is called among all that is under way."""
    return f"chat-{training_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    pictures: Path
    """A folder for each training, by its number."""
    models: Path

    @classmethod
    def of(cls, settings: Settings) -> Places:
        return cls(pictures=settings.trainings.absolute(), models=settings.models_dir.absolute())

    def pictures_of(self, training_id: int) -> Path:
        return self.pictures / str(training_id)

    def sheet_of(self, training_id: int) -> Path:
        return self.models / UNFINISHED / label(training_id) / SHEET

    async def prepare(self, training_id: int, pictures: Sequence[TrainingPicture]) -> None:
        """As the process that teaches reads them: these pictures and no other, and a `.txt` beside each that has a caption.
        Raises OSError."""
        await asyncio.to_thread(self._prepare, training_id, pictures)

    def _prepare(self, training_id: int, pictures: Sequence[TrainingPicture]) -> None:
        folder = self.pictures_of(training_id)
        captions = {each.digest: each.caption for each in pictures if each.caption}
        digests = {each.digest for each in pictures}
        for file in folder.glob("*"):
            if file.stem not in (captions if file.suffix == ".txt" else digests):
                file.unlink(missing_ok=True)
        for digest, caption in captions.items():
            spool.write(folder, f"{digest}.txt", caption.encode())

    async def forget_unfinished(self, training_id: int) -> None:
        """Checkpoint and samples. Raises OSError."""
        await asyncio.to_thread(_remove, self.models / UNFINISHED / label(training_id))

    async def forget(self, training: Training, *, with_result: bool) -> None:
        """All that lies there of it. `with_result`: it was taught, and the LoRA of its name is its own. Raises OSError."""
        await self.forget_unfinished(training.id)
        await asyncio.to_thread(_remove, self.pictures_of(training.id))
        if with_result:
            await self.forget_result(training.name)

    async def forget_result(self, name: str) -> None:
        """The LoRA itself first: then it is offered no more. Raises OSError."""
        for ending in _BESIDE:
            file = self.models / _LORAS / (name + ending)
            await asyncio.to_thread(file.unlink, missing_ok=True)


def _remove(folder: Path) -> None:
    """What is not there is fine."""
    if folder.exists():
        shutil.rmtree(folder)
