"""Fixtures of the workshop's tests: models that the engine's tests have, too."""

from __future__ import annotations

from tests.engine.conftest import load_pipe, starter, starter_model, tiny, tiny_xl

__all__ = ["load_pipe", "starter", "starter_model", "tiny", "tiny_xl"]
