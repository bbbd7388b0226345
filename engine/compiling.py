"""The UNet, compiled behind the first images: whatever is not ready yet is drawn as it is. Knows no requests."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch

from engine.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")


class CompiledUnet:
    """Calls the compiled UNet for shapes that were compiled, the plain one for all others."""

    def __init__(self, unet: Any, *, backend: str = "inductor") -> None:
        # LoRAs change the layers of a UNet, even when they are switched off, and what is compiled would not be used again.
        self._plain = _twin(unet)
        compiler: Any = torch  # its types are given in part only
        self._compiled: Any = compiler.compile(self._plain, dynamic=False, backend=backend)
        self._ready: set[tuple[tuple[int, ...], int]] = set()
        self._thread: threading.Thread | None = None

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row."""
        ready = _shape(batch) in self._ready
        return call(self._compiled if ready else self._plain, batch)

    def begin(self, batches: Sequence[Rows]) -> None:
        """Compiles for batches of these shapes, one after the other, on a thread of its own."""
        self._thread = threading.Thread(target=self._work, args=(batches,), name="easel-compile", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when there is nothing left to compile."""
        if self._thread is not None:
            self._thread.join()

    @torch.inference_mode()
    def _work(self, batches: Sequence[Rows]) -> None:
        for batch in batches:
            try:
                call(self._compiled, batch)
            except Exception as error:  # noqa: BLE001 - a missing compiler, most often: plain drawing goes on
                _log.warning("the model can't be compiled here, and is used as it is: %s", error)
                return
            self._ready.add(_shape(batch))


def _twin(unet: Any) -> Any:
    """Layers of its own around the very same weights."""
    unet.requires_grad_(False)  # as LoRAs leave it: it is the same model for what was compiled
    kept = {id(tensor): tensor for tensor in chain(unet.parameters(), unet.buffers())}
    return copy.deepcopy(unet, kept)


def _shape(batch: Rows) -> tuple[tuple[int, ...], int]:
    """Of the latents, and how many tokens the prompts have."""
    return tuple(batch.latents.shape), batch.embeddings.shape[1]


def call(unet: Any, batch: Rows) -> Tensor:
    """One forward of a UNet; what only SDXL's takes is left out for others."""
    added = {"text_embeds": batch.pooled, "time_ids": batch.sizes}
    return unet(
        batch.latents,
        batch.timesteps,
        encoder_hidden_states=batch.embeddings,
        timestep_cond=batch.guidance,
        added_cond_kwargs=None if batch.pooled is None else added,
        return_dict=False,
    )[0]
