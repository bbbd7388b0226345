"""What a picture's file tells of how the picture was made, whichever program wrote it; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.contract import GenerationRequest, Lora


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInfo:
    """How a picture was made, as far as its file tells."""

    prompt: str
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str])
    """Settings by the names that AUTOMATIC1111 gives them; in its own line a size is split into "Size-1" and "Size-2"."""
    request: GenerationRequest | None = None
    """Only from our own chunk: draws this very picture again (its own seed, one image)."""
    notes: tuple[str, ...] = ()
    fingerprint: Mapping[str, str] = field(default_factory=dict[str, str])
    version: str = ""
    program: str = ""
    """What made the picture, where it says so and no chunk of our own does."""
    loras: tuple[Lora, ...] = ()
    """Named beside the prompt, as that program names them: some with a folder and an ending."""
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """All that its file says, by the names that its format gives them."""
    is_whole: bool = True
    """False where the file holds texts that are too long to be read."""
