"""Which model an engine is told to load, and the tiny stand-in where nobody chose one. Never imports torch itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bot.config import Settings, make_private
from engine.contract import EngineSettings

STAND_IN = "tiny-random"
STAND_IN_NOTE = (
    "No model is configured, so a tiny model with random weights draws: its pictures are coloured noise. "
    "Name a real one as model under [engine] in easel.toml, or with --model."
)


class ModelError(Exception):
    """There is no model to load; the text is a sentence for the owner."""


def engine_settings(settings: Settings, *, spool: Path | None = None) -> EngineSettings:
    """What an engine is told at its start. May build the stand-in first (some seconds); raises ModelError."""
    return EngineSettings(
        model=settings.engine.model or str(ensure_default_model(settings.data_dir)),
        spool=str((spool or settings.spool).absolute()),
        device=settings.engine.device,
        slots=settings.engine.slots,
        hub_offline=settings.engine.offline,
    )


def default_model_path(data_dir: Path) -> Path:
    return data_dir.absolute() / "models" / STAND_IN


def ensure_default_model(data_dir: Path) -> Path:
    """Folder of the tiny random model, built by a child process when it is not there yet. Raises ModelError."""
    folder = default_model_path(data_dir)
    if (folder / "model_index.json").is_file():
        return folder
    try:
        make_private(data_dir)
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=folder.parent) as scratch:
            built = Path(scratch) / STAND_IN
            _build(built)
            _move_in(built, folder)
    except OSError as error:
        raise ModelError(f"The tiny random model can't be written to {folder}: {error.strerror}.") from error
    return folder


def _build(folder: Path) -> None:
    command = [sys.executable, "-m", "engine.tiny", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode or not (folder / "model_index.json").is_file():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(f"The tiny random model could not be built: {last}")


def _move_in(built: Path, folder: Path) -> None:
    """Whole or not at all; where another process was faster, its folder stays."""
    if folder.exists() and not (folder / "model_index.json").is_file():
        shutil.rmtree(folder)
    try:
        built.rename(folder)
    except OSError:
        if not (folder / "model_index.json").is_file():
            raise
