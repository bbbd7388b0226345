"""Switches LoRA files on and off in one pipeline, through diffusers and peft; knows files by name, no picture and no queue.

Every layer that a file reaches keeps its own weights and gets small ones beside them, so that the model is there once
and is itself again, to the bit, when nothing is switched on. The text encoders and the UNet are switched apart from each
other and only where it is needed: prompts of a newcomer must not disturb a picture that is being drawn.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import (
    set_adapters_for_text_encoder,  # pyright: ignore[reportUnknownVariableType]
)
from diffusers.models.attention_processor import FusedAttnProcessor2_0
from safetensors import SafetensorError

from engine import errors
from engine.checkpoints import adapters
from engine.checkpoints.lora_names import TEXT, TEXT_2
from engine.contract import InvalidRequest, Lora
from engine.families import lora_layers

KEPT = 8
"""Files; those not needed for the longest time leave first."""
KEPT_BYTES = 2**30
Switched = tuple[tuple[str, float], ...]
"""(peft's name of an adapter, its weight), in the order in which they are added."""
_MISFIT = "it does not fit this model"
_numbers = itertools.count(1)
_TEXT_ENCODERS = (TEXT, TEXT_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    adapter: str
    """Its name for peft: never one that another file had."""
    digest: str
    size_bytes: int
    placed: lora_layers.Placed

    @property
    def is_heard(self) -> bool:
        """Whether it changes text encoders."""
        return not self.placed.parts.isdisjoint(_TEXT_ENCODERS)


class Loras:
    """The LoRA files that a pipeline can be drawn with."""

    def __init__(
        self,
        pipeline: Any,
        models: Path | None = None,
        *,
        own: Path | None = None,
        in_leaves: bool = False,
    ) -> None:
        """`models`: the folder with `loras` in it; None: there are none. `own`: the model's folder, which may have such a folder,
        too. `in_leaves`: it is drawn layer by layer."""
        self._pipe = pipeline
        self._in_leaves = in_leaves
        self._models, self._own = models, own
        self._loaded: dict[str, _Loaded] = {}
        """By name, the one needed last at the end."""
        self.wanted_by_text: Switched = ()
        """What text encoders are to be switched to: where it is equal, texts are read alike."""
        self._heard: Switched | None = None
        self._seen: Switched | None = None
        """What text encoders and UNet are switched to; None where that is not known for sure."""
        self.need_unet: Callable[[], None] = lambda: None
        """Brings the UNet's weights where they may have left the memory: layers are put beside them alone."""

    @property
    def is_seen(self) -> bool:
        """Whether the UNet draws with one."""
        return bool(self._seen)

    def want(self, loras: Sequence[Lora]) -> None:
        """Texts are read with these from now on. Raises InvalidRequest where a file can't be used."""
        self._load(loras)
        found = [(self._loaded[lora.name], lora.weight) for lora in loras]
        self.wanted_by_text = tuple((loaded.adapter, weight) for loaded, weight in found if loaded.is_heard)

    def hear(self) -> None:
        """Switches the text encoders to what is wanted."""
        wanted = self.wanted_by_text
        if wanted == self._heard:
            return
        self._heard = None
        for name in _TEXT_ENCODERS:
            if (encoder := getattr(self._pipe, name, None)) is not None:
                set_adapters_for_text_encoder(*_apart(wanted, encoder))
        self._heard = wanted

    def see(self, loras: Sequence[Lora]) -> None:
        """Switches the UNet to these. Raises InvalidRequest where a file can't be used any more."""
        self._load(loras)
        wanted = tuple((self._loaded[lora.name].adapter, lora.weight) for lora in loras)
        if wanted == self._seen:
            return
        self._seen = None
        names, unet, weights = _apart(wanted, self._pipe.unet)
        _split_projections(unet, apart=bool(wanted))
        unet.set_adapters(names, weights)
        self._seen = wanted

    def taught(self, lora: Lora) -> Any:
        """A UNet without this LoRA's layers, to whose weights its own were added; all that it leaves as it is is shared.

        Raises InvalidRequest where the file can't be used.
        """
        self.see((lora,))
        return lora_layers.added(self._pipe.unet, self._loaded[lora.name].adapter)

    def digests(self, loras: Sequence[Lora]) -> Mapping[str, str]:
        """What a picture's fingerprint says of these, which are loaded."""
        return {f"lora {lora.name}": self._loaded[lora.name].digest for lora in loras}

    def notes(self, loras: Sequence[Lora]) -> tuple[str, ...]:
        """What could not be heeded of these, which are loaded."""
        placed = ((lora.name, self._loaded[lora.name].placed) for lora in loras)
        return tuple(
            f"Of the {each.count} layers of the LoRA “{name}”, {each.used} were used: this model has no place for the others."
            for name, each in placed
            if each.used < each.count
        )

    # -------------------------------------------------------------- files

    def _load(self, loras: Sequence[Lora]) -> None:
        for lora in loras:
            found = self._loaded.pop(lora.name, None) or self._read(lora.name)
            self._loaded[lora.name] = found
        self._forget_beside({lora.name for lora in loras})

    def _read(self, name: str) -> _Loaded:
        if self._in_leaves:
            raise InvalidRequest(
                f"The LoRA “{name}” can't be used: this model is drawn layer by layer here, for lack of memory."
            )
        data = self._bytes_of(name)
        self.need_unet()
        adapter = f"lora{next(_numbers):06}"
        # Layers that get their first weights beside them switch these on; and so may a file that fails half-way.
        self._heard = self._seen = None
        try:
            with torch.inference_mode(False), _quietly():
                placed = lora_layers.place(self._pipe, data, adapter)
        except Exception as error:
            self._delete(adapter)
            errors.check_device(error)
            if errors.is_out_of_memory(error):
                raise
            problem = adapters.DAMAGED if isinstance(error, SafetensorError) else _MISFIT
            raise InvalidRequest(f"The LoRA “{name}” can't be used: {problem}.") from error
        return _Loaded(adapter=adapter, digest=adapters.digest_of(data), size_bytes=len(data), placed=placed)

    def _bytes_of(self, name: str) -> bytes:
        path = adapters.paths(self._models, adapters.LORAS, self._own).get(name)
        try:
            if path is not None:
                return path.read_bytes()
            reason = "its file is gone"
        except OSError as error:
            reason = f"its file can't be read ({error.strerror})"
        raise InvalidRequest(f"The LoRA “{name}” can't be used: {reason}.")

    def _forget_beside(self, needed: set[str]) -> None:
        """Those that nobody has asked for since the longest time, until the rest is few and small."""
        for name in [name for name in self._loaded if name not in needed]:
            size = sum(loaded.size_bytes for loaded in self._loaded.values())
            if len(self._loaded) <= KEPT and size <= KEPT_BYTES:
                return
            self._delete(self._loaded.pop(name).adapter)

    def _delete(self, adapter: str) -> None:
        self._heard = self._seen = None  # peft may switch another on instead
        with _quietly():
            self._pipe.delete_adapters([adapter])


@contextmanager
def _quietly() -> Generator[None]:
    """Without peft's warnings that a model has several adapters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _apart(switched: Switched, module: Any) -> tuple[list[str], Any, list[float]]:
    """(names, module, weights), as diffusers wants them."""
    return [name for name, _ in switched], module, [weight for _, weight in switched]


def _split_projections(unet: Any, *, apart: bool) -> None:
    """Fused projections are copies without the LoRAs' layers: attention goes back to the single ones while any is on."""
    single = getattr(unet, "original_attn_processors", None)
    if single:
        # diffusers empties the dictionary that it is given
        unet.set_attn_processor(dict(single) if apart else FusedAttnProcessor2_0())
