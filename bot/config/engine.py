"""Which model an engine is told to load, and what is said where it is the starter. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from bot.config import Settings
from engine.contract import STARTER, EngineSettings

STARTER_NOTE = "The starter model draws plain coloured shapes only: name a real one, --model."


def engine_settings(settings: Settings, *, spool: Path | None = None) -> EngineSettings:
    """What an engine is told at its start."""
    folder = settings.preview.model
    models = settings.models_dir if settings.models.dir or settings.has_data_dir else None
    return EngineSettings(
        model=settings.engine.model,
        spool=str((spool or settings.spool).absolute()),
        device=settings.engine.device,
        slots=settings.engine.slots,
        hub_offline=settings.engine.offline,
        mode=settings.engine.mode,
        rows=settings.engine.rows,
        runtime=settings.engine.runtime,
        data=str(settings.data_dir.absolute()) if settings.has_data_dir else None,
        models=None if models is None else str(models.absolute()),
        models_bytes=settings.models.bytes_max,
        preview_every=settings.preview.every,
        preview_model=None if folder is None else str(folder.absolute()),
        channels_last=settings.engine.channels_last,
        fused_qkv=settings.engine.fused_qkv,
        dtype=settings.engine.dtype,
        profile=settings.engine.profile,
        unload_after_s=settings.engine.unload_after_s,
        checker=settings.engine.checker,
        flagged_from=settings.engine.flagged_from,
        metadata=settings.posting.metadata,
    )


def is_starter(settings: Settings) -> bool:
    return settings.engine.model == STARTER
