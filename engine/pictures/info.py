"""What a picture's file tells of how the picture was made, whichever program wrote it; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.contract import GenerationRequest


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
    """What made the picture, where another program than Easel says so."""
    other_texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a picture whose settings are not told in any way that is known: all that its file says."""
    is_whole: bool = True
    """False where the file holds texts that are too long to be read."""
