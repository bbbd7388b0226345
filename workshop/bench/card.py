"""`python -m workshop.bench.card`: does a profile draw within so much of a card's memory? Measures nothing else.

PyTorch's allocator is forbidden to take more (`set_per_process_memory_fraction`), so what does not fit fails as it would
on a smaller card. CUDA's own context, some hundred MB, comes on top.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.contract import EngineSettings
from engine.errors import BrokenModel, Unreachable
from workshop.bench import machine

EXIT_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws one picture of the model's own size with two steps; prints the peak, or why it could not be drawn."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.card", description=__doc__)
    parser.add_argument("--model", default=machine.SD15_RANDOM)
    parser.add_argument("--profile", default="low", choices=("full", "balanced", "low"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit-gb", type=float, default=2.6)
    parser.add_argument("--json", type=Path, help="file for what is printed")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="easel-card-") as folder:
            settings = EngineSettings(
                model=options.model, spool=folder, device=options.device, profile=options.profile
            )
            said, is_drawn = _drawn(settings, options.limit_gb), True
    except (BrokenModel, Unreachable, MemoryError, RuntimeError) as error:  # torch's out of memory is one
        said, is_drawn = f"It could not be drawn: {error}", False
    print(said, file=sys.stdout if is_drawn else sys.stderr)
    if options.json:
        options.json.write_text(json.dumps({"said": said, "is_drawn": is_drawn}), encoding="utf-8")
    return 0 if is_drawn else EXIT_FAILED


def _drawn(settings: EngineSettings, limit_gb: float) -> str:
    import torch

    if torch.cuda.is_available() and settings.device != "cpu":
        whole = torch.cuda.mem_get_info()[1]
        limit: Any = torch.cuda.set_per_process_memory_fraction  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        limit(min(1.0, limit_gb * 1e9 / whole))
    subject = machine.load(settings, lambda _stage, _share: None)
    family, info = subject.family(), subject.info
    request = info.request(prompt="a test", seed=1, steps=2)

    def draw() -> None:
        canvas = family.prepare(request, request.seed)
        while canvas.left:
            (prediction,) = family.predict([canvas], padded=None)
            family.advance(canvas, prediction, look=False)
        family.decode(canvas)

    peak = machine.peak_bytes(subject, draw)
    what = f"{info.title}, {request.size}, profile {subject.lies.plan.profile}"
    if subject.place.device.type != "cuda":
        return f"{what}: drawn, but a processor's memory can't be limited, so this says nothing about cards."
    return f"{what}: drawn within {limit_gb:g} GB, at most {(peak or 0) / 1e9:.2f} GB reserved."


if __name__ == "__main__":
    sys.exit(main())
