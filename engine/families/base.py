"""What a family of models promises to whoever lets it draw, and what a picture under way says of itself; knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

from PIL import Image

from engine.contract import GenerationRequest
from engine.pictures.decoding import Inputs


class Canvas(Protocol):
    """One picture under way; what else it holds is its family's business."""

    @property
    def shape(self) -> Hashable:
        """Of one of its rows: pictures of equal shapes and equal adapters, weights included, may share a forward."""
        ...

    @property
    def rows(self) -> int:
        """UNet rows that it takes: two with guidance, otherwise one."""
        ...

    @property
    def widest(self) -> int | None:
        """Rows of a shared forward that pay, where something else than torch computes it; None where torch does."""
        ...

    @property
    def left(self) -> int:
        """UNet calls still to make."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the person who asked."""
        ...

    @property
    def made_with(self) -> Mapping[str, str]:
        """What its pixels depend on besides the engine's fingerprint, for its own: digests of adapters."""
        ...


class Sharing(Protocol):
    """The forwards of a family whose pictures share them."""

    def equal_widths(self, canvas: Any, rows: int) -> Sequence[int] | None:
        """How many rows a forward may have for a row of this shape to get the bits that it gets among `rows`, which is one
        of them; none where even those slots differ among each other. None: not known yet. It takes several forwards.
        """
        ...

    def spare(self, canvases: Sequence[Any]) -> None:
        """What none of these, all that are under way, needs may leave the memory. Asked in every tick."""
        ...


class Checker(Protocol):
    """Looks at finished pictures. Whatever it raises, such a picture is shown to nobody."""

    def score(self, image: Image.Image) -> float:
        """From 0, safe, to 1."""
        ...

    def flags(self, score: float) -> bool:
        """Whether a picture with this score is to be kept from people until somebody decides."""
        ...

    def is_like(self, other: Checker) -> bool:
        """Whether both say the same of every picture, so that one of them is enough."""
        ...


class Family(Protocol):
    """How one model draws. A canvas that it is given is always one that it prepared."""

    @property
    def forwards(self) -> Sharing | None:
        """None where its pictures share none: each has forwards of its own."""
        ...

    @property
    def checker(self) -> Checker | None:
        """The model's own."""
        ...

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> Canvas:
        """A canvas full of this seed's noise, with its prompts encoded and its own sampler and generator.

        `inputs` is what the request starts from, decoded, if from an image.
        """
        ...

    def predict(self, canvases: Sequence[Any], *, padded: int | None) -> Sequence[Any]:
        """One UNet forward over all of them, filled up to `padded` rows; what each one's `advance` wants."""
        ...

    def advance(self, canvas: Any, prediction: Any, *, look: bool) -> None:
        """One step of the sampler; `look` keeps what `sketch` will need."""
        ...

    def sketch(self, canvas: Any) -> Callable[[], bytes] | None:
        """What makes a small JPEG of the picture as far as it is, on another thread; None where there is nothing."""
        ...

    def decode(self, canvas: Any, *, sparing: bool) -> Image.Image:
        """The picture. `sparing` takes less memory and more time."""
        ...

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether less at a time could help; frees what can be freed. Raises DeviceLost where nobody's could go on."""
        ...

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        """A sentence for the person whose request met this error; raises DeviceLost as `is_out_of_memory` does."""
        ...
