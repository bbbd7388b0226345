"""What shows images to a text encoder that sees, loaded without the part for films; knows files, no pictures.

transformers makes the two together, and the part for films of torchvision, which Easel does without.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.checkpoints import folder

_KIND = "Qwen2VLProcessor"


def of(place: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a pipeline in this folder by their names, with its model_index.json; all others it loads itself."""
    names = [name for name, kind in folder.components(index) if kind == _KIND]
    return {name: _for_images(place / name) for name in names}


def _for_images(place: Path) -> Any:
    transformers: Any = import_module("transformers")

    class ForImages(transformers.Qwen2VLProcessor):
        """Its parts are the arguments that it takes: that is where transformers looks."""

        def __init__(
            self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None
        ) -> None:
            super().__init__(image_processor, tokenizer, chat_template=chat_template)  # pyright: ignore[reportUnknownMemberType]

    return ForImages.from_pretrained(place, local_files_only=True)
