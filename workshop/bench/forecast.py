"""Whether forecast steps pay: pictures some of whose UNet outputs are forecast, beside as many forwards spent plainly.

`python -m workshop.bench.forecast` prints a Markdown table. Knows no seconds: it counts forwards.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine import samplers
from engine.contract import STARTER, EngineSettings
from engine.unet.batch import mix
from workshop.bench import machine
from workshop.starter import checker
from workshop.starter.captions import plain
from workshop.starter.evaluate import held_out_scenes, share

if TYPE_CHECKING:
    from PIL.Image import Image

    from engine.families.sd import SdCanvas, SdFamily

SAMPLERS, SEED = ("DPM++ 2M", "DPM++ 2M Karras", "Euler", "PNDM"), 2026
WINDOW, GROWTH = 2.0, 0.25
"""After a warm-up of a quarter one UNet call in so many is made, and by how much that grows with each of them."""
HEADER = ("sampler", "steps", "made", "forwards", "dB to all steps", "dB to the reference", "as asked for")

Weights = NDArray[np.float64]
Weigh = Callable[[Sequence[float], float], Weights]
"""(times of the outputs, time of the forecast), all from -1 to 1 -> the weight of each output in the forecast."""


def chebyshev(times: Sequence[float], at: float, *, degree: int, ridge: float) -> Weights:
    """Polynomials fitted to all outputs by ridge regression (arXiv 2603.01623)."""
    known, wanted = (np.polynomial.chebyshev.chebvander(np.array(x), degree) for x in (times, [at]))
    return (wanted @ np.linalg.solve(known.T @ known + ridge * np.eye(degree + 1), known.T))[0]


def line(times: Sequence[float], at: float, *, slope: float) -> Weights:
    """Through the last two outputs, its slope as steep as this; 0 is the last one again."""
    before, last = np.eye(len(times))[-2:]
    return last + slope * (at - times[-1]) / (times[-1] - times[-2]) * (last - before)


def blend(times: Sequence[float], at: float) -> Weights:
    """What stable-diffusion.cpp forecasts UNets with: a fit of the last six, and more of half a step on."""
    before, last = np.eye(len(times))[-2:]
    fit = chebyshev(times[-6:], at, degree=3, ridge=1.0)
    return 0.4 * np.pad(fit, (len(times) - len(fit), 0)) + 0.6 * (1.5 * last - 0.5 * before)


AGAIN = "last finished latents again"
FORECASTS: dict[str, tuple[Weigh, bool]] = {
    "Chebyshev of outputs": (partial(chebyshev, degree=4, ridge=0.1), False),
    "Chebyshev of finished latents": (partial(chebyshev, degree=4, ridge=0.1), True),
    "Chebyshev and line of finished latents": (blend, True),
    "line of outputs": (partial(line, slope=1), False),
    "half a line of finished latents": (partial(line, slope=0.5), True),
    "last output again": (partial(line, slope=0), False),
    AGAIN: (partial(line, slope=0), True),
}
"""How, and whether the finished latents that an output amounts to are forecast instead of the output itself."""


def made(calls: int) -> list[int]:
    """Which of so many UNet calls are made: the warm-up, then ever fewer, and the last."""
    kept, window = list(range(max(2, calls // 4))), WINDOW
    for call in range(len(kept), calls):
        if call == calls - 1 or call - kept[-1] >= int(window):
            kept.append(call)
            window += GROWTH
    return kept


@torch.inference_mode()
def draw(
    family: SdFamily, canvases: Sequence[SdCanvas], calls: Sequence[int] | None = None, how: str = AGAIN
) -> list[Image]:
    """Pictures that differ in prompt and seed alone; the UNet is called in these `calls` only, None for in all."""
    weigh, finished = FORECASTS[how]
    one, times, kept = canvases[0], list[float](), list[Any]()
    for call in range(count := one.left):
        at, now, sampler = 2 * call / max(1, count - 1) - 1, one.timestep, one.sampler
        seen: Any = sampler.scale_model_input(torch.cat([canvas.latents for canvas in canvases]), now)
        low, high = torch.zeros_like(seen), torch.ones_like(seen)
        if finished:  # what two outputs amount to: all others lie on that line
            low, high = (samplers.guess(sampler, seen, output, now) for output in (low, high))
        if calls is None or call in calls:
            rows = zip(canvases, family.predict(canvases, padded=None), strict=True)
            output: Any = torch.cat([mix(prediction, canvas.guidance_scale) for canvas, prediction in rows])
            times.append(at)
            kept.append(low + (high - low) * output)
        else:
            weights = weigh(times, at).tolist()
            value = sum(weight * earlier for weight, earlier in zip(weights, kept, strict=True))
            output = (value - low) / (high - low)
        for canvas, prediction in zip(canvases, output.split(1), strict=True):
            family.advance(canvas, prediction, look=False)
    return [family.decode(canvas) for canvas in canvases]


def shorten(canvas: SdCanvas, calls: Sequence[int]) -> None:
    """Leaves a sampler these of its timesteps, as if it knew no others."""
    sampler, count = canvas.sampler, len(canvas.sampler.timesteps)
    sampler.sigmas = torch.cat([sampler.sigmas[:count][calls], sampler.sigmas[count:]])
    canvas.timesteps = sampler.timesteps = sampler.timesteps[calls]
    sampler.num_inference_steps = len(calls)


def psnr(pictures: Sequence[Image], others: Sequence[Image]) -> str:
    """The mean of all pairs, equal ones counted as 99 dB."""
    pairs = [[np.asarray(one, np.float64) for one in pair] for pair in zip(pictures, others, strict=True)]
    errors = [max(1e-6, float(np.square(one - other).mean())) for one, other in pairs]
    return f"{statistics.mean(min(99.0, 10 * float(np.log10(255**2 / error))) for error in errors):.1f}"


def compared(
    subject: machine.Machine, sampler: str, options: argparse.Namespace
) -> Iterator[tuple[object, ...]]:
    """A table's rows: each number of steps in full, then every way to make as few forwards."""
    family, half = subject.family(), options.pictures // 2
    scenes = held_out_scenes(half, pairs=False) + held_out_scenes(options.pictures - half, pairs=True)
    ask = partial(subject.info.request, sampler=sampler, size=(options.side, options.side))

    def begun(steps: int) -> list[SdCanvas]:
        requests = [ask(prompt=plain(scene), seed=SEED + n, steps=steps) for n, scene in enumerate(scenes)]
        return [family.prepare(request, request.seed) for request in requests]

    def obedience(pictures: list[Image]) -> str:
        read = zip(scenes, map(checker.read, pictures), strict=True)
        right = share(scene.background == seen.background and seen.shows(scene) for scene, seen in read)
        return f"{right:.0f} %" if options.model == STARTER else ""

    reference = draw(family, begun(options.reference))
    for steps in options.steps:
        canvases = begun(steps)
        calls, is_table = canvases[0].left, hasattr(canvases[0].sampler, "sigmas")
        base, chosen = draw(family, canvases), made(calls)
        fewer = steps - calls + len(chosen)  # PNDM calls the UNet once more than it has steps
        yield sampler, steps, "all", calls, "", psnr(base, reference), obedience(base)
        ways = {f"{fewer} plain steps": draw(family, begun(fewer))}
        if is_table:
            for canvas in (short := begun(steps)):
                shorten(canvas, chosen)
            ways["these timesteps, plainly"] = draw(family, short)
        ways |= {how: draw(family, begun(steps), chosen, how) for how in FORECASTS}
        for way, pictures in ways.items():
            near = psnr(pictures, base), psnr(pictures, reference)
            yield sampler, steps, way, len(chosen), *near, obedience(pictures)


def _unheard(stage: str, share: float | None) -> None: ...


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.forecast", description=__doc__)
    add = parser.add_argument
    add("--model", default=STARTER, help=f"“{STARTER}”, “{machine.SD15_RANDOM}”, or a model's folder")
    add("--samplers", nargs="+", default=SAMPLERS)
    add("--steps", nargs="+", type=int, default=(20, 30))
    add("--reference", type=int, default=100, help="steps of the pictures that all are compared with")
    add("--pictures", type=int, default=24)
    add("--side", type=int, default=128, help="pixels")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="easel-bench-") as spool:
        settings = EngineSettings(model=options.model, spool=spool, device="cpu")
        subject = machine.load(settings, _unheard)
        for row in (HEADER, ("---",) * len(HEADER)):
            print(f"| {' | '.join(row)} |")
        for sampler in options.samplers:
            for row in compared(subject, sampler, options):
                print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
