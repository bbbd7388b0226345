"""The examination through a real engine: what it asks in few steps, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.contract import STARTER
from workshop.starter import evaluate
from workshop.starter.evaluate import Counts, Examiner, Question
from workshop.starter.export import QUICK

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("starter")]
FEW = Counts(singles=2, pairs=1, open=1)


@pytest.fixture
def examiner(tmp_path: Path) -> Iterator[Examiner]:
    examiner = Examiner(STARTER, "cpu", str(tmp_path))
    yield examiner
    examiner.close()


def test_few_steps_are_examined_with_and_without_the_lora(
    examiner: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same prompts and seeds twice, as the model's recipe for few steps says, once without its LoRA."""
    asked: list[Question] = []
    draw = examiner.draw

    def watched(questions: list[Question]) -> list[evaluate.Reading]:
        asked.extend(questions)
        return draw(questions)

    monkeypatch.setattr(examiner, "draw", watched)
    found = evaluate.quickly(examiner, FEW)
    assert found["with"]["background"] == found["with"]["colour"] == 100
    half = len(asked) // 2
    assert half == FEW.singles + FEW.pairs + FEW.open
    with_it, without = asked[:half], asked[half:]
    assert [(each.prompt, each.seed) for each in with_it] == [(each.prompt, each.seed) for each in without]
    assert {lora.name for each in with_it for lora in each.options["loras"]} == {QUICK["lora"]}
    assert not any("loras" in each.options for each in without)
    assert {(each.options["steps"], each.options["sampler"]) for each in asked} == {(4, "LCM")}
