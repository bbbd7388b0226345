"""A model's tiny decoder, loaded if it fits: for previews, and for pictures where its owner wants that; knows no request."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from engine import errors
from engine.checkpoints import vae_approx
from engine.checkpoints.header import AGAIN
from engine.checkpoints.source import Source
from engine.checkpoints.vae_approx import Approx
from engine.contract import TINY, EngineSettings, ModelInfo
from engine.errors import BrokenModel


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyDecoder:
    """What was found beside a model."""

    network: Any = None
    """An AutoencoderTiny in float32 in the processor's memory, nobody else's; None where there is none."""
    notes: tuple[str, ...] = ()
    """What the owner is told of one that is no good, where only previews lack it."""


def beside(source: Source, info: ModelInfo, settings: EngineSettings, vae: Any) -> TinyDecoder:
    """The one for a model with this VAE, if anybody wants it. Raises BrokenModel where pictures can't be decoded as told."""
    decodes = info.decoder == TINY
    if type(vae).__name__ != "AutoencoderKL" or not (decodes or settings.preview_every):
        return TinyDecoder()
    try:
        found = vae_approx.find(source, info.family, settings.models)
        network = None if found is None else _load(found, vae)
    except BrokenModel as error:
        if decodes:
            raise
        return TinyDecoder(notes=(f"{error} Without it previews of {info.title} are rougher.",))
    if network is None and decodes:
        raise vae_approx.missing(info)
    return TinyDecoder(network=network)


def _load(found: Approx, vae: Any) -> Any:
    """None for one that was made for others of the kind, whose latents are not like this VAE's."""
    try:
        network = _read_file(found) if found.is_file else _read_folder(found)
    except Exception as error:
        errors.check_device(error)
        raise BrokenModel(
            f"The tiny decoder {found.name} can't be loaded ({type(error).__name__}): {AGAIN}."
        ) from error
    wanted, given = _latents(vae.config.latent_channels, _scale(vae)), _of(network)
    if wanted == given:
        # What diffusers guesses from the colours; it counts where a picture is decoded in tiles.
        network.spatial_scale_factor = _scale(vae)
        return network
    if found.is_own:
        raise BrokenModel(
            f"The tiny decoder {found.name} is for {given}, but the model has {wanted}: put another one there, or take "
            "it away."
        )
    return None


def _read_folder(found: Approx) -> Any:
    diffusers: Any = import_module("diffusers")
    torch: Any = import_module("torch")
    return diffusers.AutoencoderTiny.from_pretrained(
        found.path, dtype=torch.float32, use_safetensors=True, variant=found.variant, local_files_only=True
    )


def _read_file(found: Approx) -> Any:
    """The same layers; but where they are published alone, their numbers count the clamping before them as the first."""
    diffusers: Any = import_module("diffusers")
    tensors = import_module("safetensors.torch").load_file(found.path)
    network = diffusers.AutoencoderTiny(latent_channels=tensors["1.weight"].shape[1])
    numbered = ((*name.partition("."), tensor) for name, tensor in tensors.items())
    network.decoder.layers.load_state_dict(
        {f"{int(at) - 1}.{rest}": tensor for at, _, rest, tensor in numbered}
    )
    return network.eval()


def _of(network: Any) -> str:
    config = network.config
    scale = config.upsampling_scaling_factor ** (len(config.num_decoder_blocks) - 1)
    colours = "" if config.out_channels == 3 else f" and pictures of {config.out_channels} colours"
    return f"{_latents(config.latent_channels, scale)}{colours}"


def _latents(channels: int, scale: int) -> str:
    return f"latents of {channels} channels that stand for {scale} pixels a side"


def _scale(vae: Any) -> int:
    return 2 ** (len(vae.config.block_out_channels) - 1)
