"""What may leave the memory of a model that OpenVINO draws with: torch's UNet and decoder, read again from its files; knows no request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.checkpoints.source import Source
from engine.contract import EngineSettings
from engine.device.fingerprint import digest
from engine.device.offload import REST_S, Offload, Offloads
from engine.errors import BrokenModel
from engine.loading import load

if TYPE_CHECKING:
    from engine.device.choice import Place

OF_DECODER = ("decoder.", "post_quant_conv.")


def of(
    pipeline: Any,
    source: Source,
    found: load.Found,
    settings: EngineSettings,
    place: Place,
    switches: Mapping[str, str],
    rest_s: float = REST_S,
) -> Offloads | None:
    """Those of a pipeline that was loaded from what was `found`. Fused projections are no file's: with them all stays."""
    if "fused_qkv" in switches:
        return None
    loaded_from = digest(source)

    def reading(name: str) -> Callable[[], Any]:
        return partial(_read, name, source, loaded_from, found, settings, place)

    return Offloads(
        unet=Offload(pipeline.unet, reading("unet"), rest_s=rest_s),
        decoder=Offload(pipeline.vae, reading("vae"), begins=OF_DECODER, rest_s=rest_s),
    )


def _read(
    name: str, source: Source, loaded_from: str, found: load.Found, settings: EngineSettings, place: Place
) -> Any:
    if digest(source) != loaded_from:
        raise BrokenModel(
            f"The weights of the model {source.id} are others than when it was loaded: restart the bot."
        )
    return load.part(found, name, settings, place)
