"""Whether those who wait are misled by what they were told last."""

from __future__ import annotations

import pytest

from bot.core.held_up import EngineStarts
from bot.core.line.told import LineTold
from bot.core.ports import Progress


@pytest.mark.parametrize(
    ("before", "now", "is_news"),
    [
        (Progress(place=2, eta_s=40.0), Progress(place=2, eta_s=39.0), False),
        (Progress(place=2, eta_s=40.0), Progress(place=2, eta_s=29.0), True),
        (Progress(place=2, eta_s=40.0), Progress(place=2, eta_s=52.0), True),
        (Progress(place=2, eta_s=4.0), Progress(place=2, eta_s=2.5), False),
        (Progress(place=2, eta_s=40.0), Progress(place=1, eta_s=40.0), True),
        (Progress(place=2), Progress(place=2, eta_s=40.0), True),
        (Progress(place=2), Progress(place=2), False),
        (Progress(place=2), Progress(place=2, held_up=EngineStarts()), True),
    ],
)
def test_what_is_worth_telling_anew(before: Progress, now: Progress, is_news: bool) -> None:
    """Another place, another hindrance, or a time left that is another by a quarter and some seconds."""
    told = LineTold()
    assert told.is_news(7, before)
    told.tells(7, before)
    assert told.is_news(7, now) is is_news
    told.keep(())
    assert told.is_news(7, before)
