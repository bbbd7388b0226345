"""Enlarges images with Lanczos, for models that draw no picture of that size; knows Pillow, neither torch nor a model's files."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from engine.contract import GenerationRequest, InvalidRequest, ModelInfo
from engine.pictures.decoding import Inputs


@dataclass(slots=True, eq=False, kw_only=True)
class PlainCanvas:
    """One image under way: it takes a single step."""

    source: Image.Image
    """RGB."""
    size: tuple[int, int]
    notes: tuple[str, ...]
    image: Image.Image | None = None

    @property
    def left(self) -> int:
        return 1 if self.image is None else 0

    @property
    def widest(self) -> None:
        return None

    @property
    def rows(self) -> int:
        return 1

    @property
    def made_with(self) -> Mapping[str, str]:
        return {}

    @property
    def shape(self) -> Hashable:
        return id(self)


class PlainFamily:
    """No network, and no memory but the processor's."""

    forwards = None
    checker = None

    def __init__(self, info: ModelInfo) -> None:
        """`info` is the model that was to draw it."""
        self._info = info

    def prepare(self, request: GenerationRequest, seed: int, inputs: Inputs | None = None) -> PlainCanvas:
        """Raises InvalidRequest for an image of another size than was said of it."""
        del seed  # there is no noise in it
        assert inputs is not None  # an enlargement has an image
        size = checked_size(request, inputs.image.size)
        title = self._info.title
        why = (
            f"{title} can't draw {request.size}"
            if self._info.redraws_enlarged
            else f"{title} redraws no image to enlarge it"
        )
        note = (
            f"{why}, so the image was enlarged with Lanczos alone: "
            "an upscaler in models/upscalers, such as RealESRGAN_x4plus.safetensors, would do better."
        )
        asked = self._info.enlarges(request.width, request.height)
        return PlainCanvas(
            source=inputs.image, size=size, notes=inputs.notes if asked else (*inputs.notes, note)
        )

    def predict(self, canvases: Sequence[PlainCanvas], *, padded: int | None) -> Sequence[Image.Image]:
        del padded
        return [canvas.source.resize(canvas.size, Image.Resampling.LANCZOS) for canvas in canvases]

    def advance(self, canvas: PlainCanvas, prediction: Image.Image, *, look: bool) -> None:
        del look
        canvas.image = prediction

    def sketch(self, canvas: PlainCanvas) -> Callable[[], bytes] | None:
        del canvas

    def decode(self, canvas: PlainCanvas, *, sparing: bool) -> Image.Image:
        del sparing
        assert canvas.image is not None  # it has taken its step
        return canvas.image

    def is_out_of_memory(self, error: Exception) -> bool:
        del error
        return False

    def explain(self, error: Exception, request: GenerationRequest) -> str:
        if isinstance(error, MemoryError):
            return (
                "There is not enough memory to enlarge this image: try again when fewer people are drawing."
            )
        return f"{request.size} could not be made ({type(error).__name__}): try another image."


def checked_size(request: GenerationRequest, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a file of that size, enlarged as asked for. Raises InvalidRequest where another was said."""
    width, height = (side * request.upscale for side in size)
    # One that lies on its side may have been measured before or after it was turned.
    if (width, height) not in {(request.width, request.height), (request.height, request.width)}:
        raise InvalidRequest(
            f"The image has {size[0]}x{size[1]} pixels, which is not what was said of it: attach it again."
        )
    return width, height
