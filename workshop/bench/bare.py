"""What a bare `pipe()` call takes for the model's default picture: `python -m workshop.bench.bare MODEL` prints JSON.

Runs as its own process, because it loads torch; knows neither Discord nor the bot.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from engine.checkpoints import describe
from engine.checkpoints.source import Source
from engine.contract import EngineSettings, GenerationRequest
from engine.device import fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds that a bare pipe() call takes.")
    parser.add_argument("model", help="hub id or local folder; no single file")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    settings = EngineSettings(model=options.model, spool=str(Path.cwd()), device="cpu")
    fingerprint.prepare_environment(settings)
    source = Source.of(options.model)
    info = describe.describe(source, settings)
    fingerprint.pin(info)
    request = info.request(prompt="a red circle", seed=42)
    seconds = time_pipe(source, request, options.runs)
    print(json.dumps({"pipe_s": statistics.median(seconds), "runs": seconds, "request": request.to_dict()}))


def time_pipe(source: Source, request: GenerationRequest, runs: int) -> list[float]:
    """Seconds of each `pipe(...)` call after a warm-up, with the model's own sampler and our thread count."""
    import torch
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    kind: Any = StableDiffusionPipeline  # its types are given in part only
    pipe = kind.from_pretrained(source.path or source.named, use_safetensors=True, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    seconds: list[float] = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        pipe(
            request.prompt,
            height=request.height,
            width=request.width,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
        )
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


if __name__ == "__main__":
    main()
