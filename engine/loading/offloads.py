"""What may leave the memory of a model that OpenVINO draws with: torch's UNet and decoder, read again from its files; knows no request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine.checkpoints.source import Source
from engine.device.fingerprint import digest
from engine.device.offload import REST_S, Offload, Offloads
from engine.errors import BrokenModel
from engine.loading import load
from engine.loading.load import Found
from engine.loading.speed import Subject

OF_DECODER = ("decoder.", "post_quant_conv.")


def of(
    pipeline: Any,
    subject: Subject,
    source: Source,
    found: Found,
    switches: Mapping[str, str],
    *,
    rest_s: float = REST_S,
) -> Offloads | None:
    """Those of a pipeline that was loaded from what was `found`. Fused projections are no file's: with them all stays."""
    if "fused_qkv" in switches:
        return None

    def reading(name: str) -> Callable[[], Any]:
        return partial(_read, name, subject, source, found)

    return Offloads(
        unet=Offload(pipeline.unet, reading("unet"), rest_s=rest_s),
        decoder=Offload(pipeline.vae, reading("vae"), begins=OF_DECODER, rest_s=rest_s),
    )


def _read(name: str, subject: Subject, source: Source, found: Found) -> Any:
    if digest(source) != subject.weights:
        raise BrokenModel(
            f"The weights of the model {source.id} are others than when it was loaded: restart the bot."
        )
    return load.part(found, name, subject.settings, subject.place)
