"""What several rehearsals play with: a clock that stands still, a picture, a server; knows no Discord."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from engine.contract import GenerationRequest

GUILD = 7


@dataclass(slots=True)
class TestClock:
    """Real time that can be moved forward."""

    __test__ = False
    offset: float = 0.0

    def now(self) -> float:
        return time.time() + self.offset


def picture(prompt: str = "a red circle", **values: Any) -> GenerationRequest:
    """A small picture of 20 steps that the fake model draws."""
    usual: dict[str, Any] = {
        "width": 64,
        "height": 64,
        "steps": 20,
        "guidance_scale": 7.5,
        "sampler": "Euler a",
        "seed": 42,
        "model": "fake",
    }
    return GenerationRequest(prompt=prompt, **(usual | values))
