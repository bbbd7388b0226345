"""The crowd's program asks for every kind of picture, and tells whether anybody's pixels depend on who else is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.contract import SAMPLERS, EngineSettings, FakeSettings, GenerationRequest
from engine.fake import MODEL
from workshop.bench import crowd


def test_every_kind_is_asked_for() -> None:
    """Each sampler and schedule with words, images and masks, in three shapes; no two alike, and the same each time."""
    asked = [*crowd.kinds(MODEL, 204, ["a" * 64, "b" * 64], "c" * 64)]
    assert asked == [*crowd.kinds(MODEL, 204, ["a" * 64, "b" * 64], "c" * 64)]
    assert len(set(asked)) == 204
    begun = {"mask": 0, "image": 0, "words": 0}
    for request in asked:
        begun["mask" if request.mask else "image" if request.image else "words"] += 1
    assert min(begun.values()) > 60
    ways = {(request.sampler, request.schedule) for request in asked}
    assert ways == {(name, way) for name, each in SAMPLERS.items() for way in ("", *each.schedules)}
    assert len({request.size for request in asked}) == 3


@pytest.mark.parametrize("depends", [False, True])
def test_who_depends_on_others_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depends: bool
) -> None:
    """Pictures that differ in a crowd are told with what they were; the speeds are the engine's own."""
    kinds = [MODEL.request(prompt="x", seed=seed) for seed in range(3)]
    monkeypatch.setattr(crowd, "kinds", lambda *_: kinds)
    if depends:  # the second of the crowd is drawn by another seed
        draw = crowd.Desk.draw

        def drawn(desk: Any, requests: Sequence[GenerationRequest]) -> Any:
            is_crowd = len(requests) == len(kinds)
            return draw(
                desk, [replace(each, seed=9) if is_crowd and each.seed == 1 else each for each in requests]
            )

        monkeypatch.setattr(crowd.Desk, "draw", drawn)
    settings = EngineSettings(
        spool=str(tmp_path / "spool"), model="fake", slots=4, fake=FakeSettings(step_s=0.0)
    )
    found = crowd.measured(settings, 3, 1, settled_s=0.0)
    assert (found.pictures, found.equal) == (3, 2 if depends else 3)
    assert found.differing == (("Euler a  128x128 8 steps, words, seed 1",) if depends else ())
    assert found.made_by == {"torch": 3}
    assert min(found.standard_images_s, found.quick_images_s) > 0
