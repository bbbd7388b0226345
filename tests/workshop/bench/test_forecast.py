"""The forecasts whose figures docs/how/benchmarks.md gives: their arithmetic, and which UNet calls are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.contract import ModelInfo
from engine.families.sd import SdCanvas, SdFamily
from workshop.bench import forecast

TIMES = (-1.0, -0.8, -0.6, -0.4, 0.0)


@pytest.mark.parametrize(
    ("weigh", "degree"),
    [(partial(forecast.chebyshev, degree=3, ridge=1e-12), 3), (partial(forecast.line, slope=1), 1)],
)
def test_a_curve_of_its_degree_is_continued_exactly(weigh: forecast.Weigh, degree: int) -> None:
    """Outputs that lie on a polynomial are forecast as it goes on."""
    curve = np.polynomial.Polynomial([0.5, -2.0, 1.5, 3.0][: degree + 1])

    assert weigh(TIMES, 0.3) @ curve(np.array(TIMES)) == pytest.approx(curve(0.3), abs=1e-6)


def test_no_slope_repeats_the_last_output() -> None:
    """Half the slope goes half as far."""
    assert forecast.line(TIMES, 0.4, slope=0).tolist() == [0, 0, 0, 0, 1]
    assert forecast.line(TIMES, 0.4, slope=0.5).tolist() == [0, 0, 0, -0.5, 1.5]


@pytest.mark.parametrize("calls", [20, 21, 25, 30])
def test_more_than_a_third_is_left_out(calls: int) -> None:
    """The warm-up and the last call are made."""
    made = forecast.made(calls)

    assert made[: calls // 4] == list(range(calls // 4))
    assert made[-1] == calls - 1
    assert len(made) / calls <= 0.65


def test_equal_pictures_are_99_db_apart() -> None:
    """A difference of 1 in every value is 48.1 dB."""
    black, dark = (Image.new("RGB", (8, 8), (value,) * 3) for value in (0, 1))

    assert forecast.psnr([black], [black]) == "99.0"
    assert forecast.psnr([black, black], [dark, dark]) == "48.1"


def test_the_last_finished_latents_again_are_eulers_longer_steps(
    starter: Any, starter_model: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Euler draws the same with them as with the timesteps of the calls that are made alone, in as many forwards."""
    family, chosen, forwards = SdFamily(starter), [0, 1, 3, 5], list[int]()
    predict = family.predict

    def counted(canvases: Sequence[SdCanvas], *, padded: int | None) -> Any:
        forwards.append(len(canvases))
        return predict(canvases, padded=padded)

    monkeypatch.setattr(family, "predict", counted)

    def begun() -> list[SdCanvas]:
        ask = partial(starter_model.request, prompt="a red circle", steps=6, sampler="Euler")
        return [family.prepare(ask(seed=seed), seed) for seed in (1, 2)]

    held = forecast.draw(family, begun(), chosen, forecast.AGAIN)
    short = begun()
    for canvas in short:
        forecast.shorten(canvas, chosen)
    plain = forecast.draw(family, short)

    assert forwards == [2] * 8
    for one, other in zip(held, plain, strict=True):
        assert np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= 1
