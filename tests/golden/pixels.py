"""Draws 24 fixed requests and tells their pixels' digests, to compare before and after a change of the code.

`python -m tests.golden.pixels [FILE]` prints the SHA-256 of each picture's RGB bytes and writes all to FILE as JSON;
with `--compare FILE` it exits with 1 where they are not as written there. Random weights are made anew each time, and
only one machine's runs are to be compared: with other processors or libraries the pixels may be others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engine import process
from engine.contract import (
    SAMPLERS,
    STARTER,
    EngineSettings,
    Finished,
    GenerationRequest,
    Loading,
    ModelInfo,
    Ready,
    Start,
    Submit,
)
from engine.pictures import inputs
from tests.kit import adapters, tiny, tiny_any, tiny_upscalers
from tests.kit.engines import a_mask, a_photo, kept, pixels, recv_endings, recv_until

COUNT, STOP_S = 24, 10.0
WEIGHTED = "DPM++ 2M"
"""The sampler that draws a weighted prompt."""
Named = Iterator[tuple[str, GenerationRequest]]
Digests = dict[str, list[str]]
"""By the request's name, one of each of its images."""


def build(folder: Path) -> tuple[Path, Path]:
    """Writes random models: Stable Diffusion, and a folder of all that goes with it. Returns both."""
    first, others = tiny.build(folder / "tiny"), folder / "models"
    tiny.build_xl(others / "checkpoints" / "xl")
    tiny_any.build_flux(others / "checkpoints" / "flux")
    tiny_upscalers.build(others / "upscalers" / "compact.safetensors")
    adapters.write(others / "embeddings", "EasyFox", {"emb_params": adapters.numbers(1, 3, adapters.WIDTH)})
    adapters.write(others / "loras", "detail", adapters.lora_tensors(tiny.assemble(), seed=1))
    return first, others


def exact_requests(models: Mapping[str, ModelInfo], folder: Path) -> Named:
    """Each sampler, and each kind of request. What they start from is put into `folder`."""
    yield from sampler_requests(models["tiny"])
    photo, mask = kept(folder, a_photo()), kept(folder, a_mask())

    def ask(model: str, seed: int, prompt: str, start: Start | None = None) -> GenerationRequest:
        return models[model].request(
            prompt=prompt, seed=seed, start=start, steps=4, guidance_scale=5.0, size=(96, 64)
        )

    yield "image to image", ask("tiny", 101, "a red fox", Start(image=photo, strength=0.6))
    yield "mask", ask("tiny", 102, "the red hat", Start(image=photo, mask=mask, strength=0.8))
    yield "LoRA", ask("tiny", 103, "a red fox <lora:detail:0.8>")
    yield "embedding", ask("tiny", 104, "a painting of EasyFox in the rain")
    yield "SDXL", ask("xl", 105, "a tower and the sea")
    yield "called model", ask("flux", 106, "a tower and the sea")
    compact = models["compact"]
    size, begun = compact.upscaled(100, 80, 2), Start(image=photo, upscale=2)
    yield "upscaler", compact.request(prompt="", seed=107, size=size, start=begun)


def sampler_requests(model: ModelInfo) -> Named:
    """Each sampler once, a third without guidance, some with a negative prompt; the first makes two images."""
    for number, sampler in enumerate(SAMPLERS):
        weighted, guidance = sampler == WEIGHTED, (7.5, 1.0, 4.0)[number % 3]
        yield (
            f"{sampler}, weighted prompt" if weighted else sampler,
            model.request(
                prompt="a (red:1.4) fox [and the rain]" if weighted else "a red fox and the rain",
                negative_prompt="a thin grey line" if number % 2 == 0 and guidance > 1 else "",
                seed=number + 1,
                size=((64, 64), (96, 64), (64, 128))[number % 3],
                steps=3 + number % 4,
                guidance_scale=guidance,
                sampler=sampler,
                images=2 if number == 0 else 1,
            ),
        )


def wide_requests(models: Mapping[str, ModelInfo], _folder: Path) -> Named:
    """Two that share forwards of one width; so many steps that the pixels are others than in the exact mode."""
    (model,) = models.values()
    for seed, prompt, sampler in (
        (201, "a red circle on a blue background", "Euler a"),
        (202, "a large yellow star on black", "DPM++ 2M SDE"),
    ):
        asked = model.request(
            prompt=prompt, seed=seed, size=(96, 64), steps=12, guidance_scale=7.5, sampler=sampler
        )
        yield f"wide, {sampler}", asked


def drawn(settings: EngineSettings, ask: Callable[[Mapping[str, ModelInfo], Path], Named]) -> Digests:
    """Starts an engine and sends all that `ask` asks of its models at once; the digests of what comes."""
    engine = process.start(settings)
    try:
        ready = recv_until(engine, lambda event: not isinstance(event, Loading))[-1]
        assert isinstance(ready, Ready), ready
        models = {model.id: model for model in ready.models}
        asked = dict(ask(models, Path(settings.spool) / inputs.FOLDER))
        for job, request in enumerate(asked.values()):
            engine.send(Submit(job_id=job, attempt=1, request=request))
        endings, _ = recv_endings(engine, *range(len(asked)))
        found: Digests = {}
        for job, name in enumerate(asked):
            ending = endings[job]
            assert isinstance(ending, Finished), (name, ending)
            found[name] = [digest(image.path) for image in ending.images]
        return found
    finally:
        engine.stop(STOP_S)
        engine.close()


def digest(path: str | None) -> str:
    return hashlib.sha256(pixels(path)).hexdigest()


def draw_all() -> Digests:
    """All requests, by two engines one after the other."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported, as in engine.boot
    with tempfile.TemporaryDirectory(prefix="easel-golden-") as name:
        folder = Path(name)
        first, others = build(folder)
        exact = EngineSettings(
            model=str(first), models=str(others), spool=str(folder / "exact"), device="cpu", hub_offline=True
        )
        wide = EngineSettings(
            model=STARTER, spool=str(folder / "wide"), device="cpu", mode="wide", hub_offline=True
        )
        found = drawn(exact, exact_requests) | drawn(wide, wide_requests)
    assert len(found) == COUNT, sorted(found)
    return found


def compare(found: Digests, wanted: Digests) -> int:
    """Says which requests have other pixels than wanted; the exit status."""
    names = [*found, *(wanted.keys() - found.keys())]
    other = [name for name in names if found.get(name) != wanted.get(name)]
    for name in other:
        print(f"DIFFERENT: {name}")
    print(f"{len(names) - len(other)} of {len(names)} equal")
    return 1 if other else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.pixels", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where the digests are written")
    parser.add_argument(
        "--compare", type=Path, metavar="FILE", help="digests written before, to compare with"
    )
    told = parser.parse_args()
    wanted: Digests | None = None if told.compare is None else json.loads(told.compare.read_text("utf-8"))
    found = draw_all()
    for name, digests in found.items():
        print(f"{name}: {' '.join(digests)}")
    if told.file is not None:
        told.file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0 if wanted is None else compare(found, wanted)


if __name__ == "__main__":
    sys.exit(main())
