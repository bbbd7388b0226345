"""Everything that is measured on a card in one run: its plan, its parts as far as a processor can try them."""

from __future__ import annotations

from pathlib import Path

from engine.contract import EngineSettings, FakeSettings
from workshop.bench import recovery


async def test_an_engine_whose_device_fails_is_replaced_and_draws_again(tmp_path: Path) -> None:
    """In the middle of a picture: the same pixels come from another process, and the job was tried twice."""
    fake = FakeSettings(step_s=0.01, slots=1)
    engine = EngineSettings(model="fake", spool=str(tmp_path / "spool"), fake=fake, device="cpu")
    found = await recovery.recovered(tmp_path, "fake", "cpu", engine=engine)

    assert found.fault.startswith("an error like CUDA's, raised in process ")
    assert (found.attempts, found.is_equal, found.holds) == (2, True, True)
