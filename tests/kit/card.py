"""What a profile puts on a graphics card that does not exist: the engine's own code on tensors without numbers.

`python -m tests.kit.card sd15 low` prints the most bytes at once during a forward and a decode as JSON, for sd15,
sdxl (the real architectures, half a minute) and tiny, tiny-xl. torch's fake tensors know shapes and devices, and refuse
to mix two devices, so a part that computes where its numbers are not is found here without a card. A process of its own,
because the made-up device stays registered. Attention is taken to hold its output alone, as flash attention does.
"""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from engine.device import layout, profiles
from engine.device.choice import Place
from engine.families import forwards, sd
from engine.families.sd import SdCanvas, SdFamily
from engine.families.sdxl import SdxlFamily
from tests.kit import tiny
from workshop.bench import sd15, sdxl

CARD = "card"


class Ledger(TorchDispatchMode):
    """Adds up the storages that are alive on the card."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == CARD:
                self._book(tensor.untyped_storage())
        return out

    def _book(self, storage: Any) -> None:
        key, count = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += count
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._strike, key, count)

    def _strike(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count

    def most(self, act: Callable[[], object]) -> int:
        self.peak = self.now
        act()
        return self.peak


def _apply(module: Any, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
    """`Module._apply` for fake tensors, which can be neither swapped nor given other data."""
    for child in module.children():
        child._apply(fn)
    for name, weight in module._parameters.items():
        if weight is not None:
            module._parameters[name] = torch.nn.Parameter(fn(weight.detach()), requires_grad=False)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = fn(buffer)
    return module


def _sizes(embeddings: torch.Tensor, _size: Any) -> torch.Tensor:
    return embeddings.new_zeros((len(embeddings), 6))  # there are no numbers


MODELS: dict[str, tuple[Callable[[], Any], type[SdFamily], int]] = {
    "sd15": (lambda: sd15.assemble(torch.device("cpu")), SdFamily, 512),
    "sdxl": (lambda: sdxl.assemble(torch.device("cpu")), SdxlFamily, 1024),
    "tiny": (tiny.assemble, SdFamily, tiny.SIDE),
    "tiny-xl": (tiny.assemble_xl, SdxlFamily, tiny.SIDE),
}


def measure(model: str, profile: Any) -> dict[str, Any]:
    """Bytes on the card: at rest, and at most during a forward and a decode; "computed" is what the engine expects."""
    assemble, family_of, side = MODELS[model]
    ledger = Ledger()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        pipeline = assemble().to(torch.float16)
        if family_of is SdxlFamily:
            pipeline.vae.float()
        with ledger:
            place = Place(device=torch.device(CARD), dtype=torch.float16, profile=profile)
            lies = layout.settle(pipeline, place, called=False).layout
            rest = ledger.now
            family = family_of(pipeline, lies=lies)
            dtype = pipeline.vae.dtype
            family._starting._encode(torch.empty(1, 3, side, side, dtype=dtype), dtype)
            pipeline.image_processor.postprocess = lambda *_args, **_options: [None]
            forward = ledger.most(lambda: family.forwards(family.forwards.blank(2, (side, side))))
            canvas = _canvas(pipeline, side)
            decode = ledger.most(lambda: family.decode(canvas))
            again = ledger.most(lambda: family.forwards(family.forwards.blank(2, (side, side))))
    needs = layout._needs(pipeline, lies.weights)
    return {
        "rest": rest,
        "forward": max(forward, again),
        "decode": decode,
        "computed": profiles.peak_bytes(profile, lies.weights, needs, side**2),
        "weights": {"unet": _bytes(pipeline.unet), "vae": _bytes(pipeline.vae)},
        "text": str(pipeline.text_encoder.device),
    }


def _bytes(part: Any) -> int:
    return layout._bytes(part)


def _canvas(pipeline: Any, side: int) -> SdCanvas:
    side //= pipeline.vae_scale_factor
    latents = torch.empty(1, 4, side, side, device=CARD, dtype=torch.float16)
    return SdCanvas(
        sampler=None,
        generator=None,  # type: ignore[arg-type]
        timesteps=latents,
        latents=latents,
        condition=None,
        blend=None,
        embeddings=latents,
        guidance_scale=1.0,
        guided=1,
        guidance=None,
        notes=(),
        look=latents.shape,
    )


def main() -> None:
    backend_registration._setup_privateuseone_for_python_backend(CARD)
    torch.nn.Module._apply = _apply  # type: ignore[method-assign]
    torch.nn.functional.scaled_dot_product_attention = lambda query, *_args, **_options: torch.empty_like(
        query
    )  # type: ignore[assignment]
    sd.check_finite = lambda _values: None
    forwards.told_sizes = _sizes
    print(json.dumps([measure(*sys.argv[at : at + 2]) for at in range(1, len(sys.argv), 2)]))


if __name__ == "__main__":
    main()
