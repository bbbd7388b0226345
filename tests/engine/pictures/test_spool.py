"""A finished picture is on disk completely or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine.pictures import spool


def test_what_is_written_is_what_was_given(tmp_path: Path) -> None:
    """The file holds the bytes and the hash is theirs."""
    path, sha256 = spool.write(tmp_path, "1-2-0.png", b"picture")
    assert path == tmp_path / "1-2-0.png"
    assert path.read_bytes() == b"picture"
    assert sha256 == hashlib.sha256(b"picture").hexdigest()


def test_writing_again_replaces(tmp_path: Path) -> None:
    """The second write of a name wins, and no other file is left."""
    spool.write(tmp_path, "1-1-0.png", b"a longer first one")
    spool.write(tmp_path, "1-1-0.png", b"second")
    assert [file.name for file in tmp_path.iterdir()] == ["1-1-0.png"]
    assert (tmp_path / "1-1-0.png").read_bytes() == b"second"


def test_data_is_durable_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are synced before the rename and the folder after it: a power cut leaves no half picture."""
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        order.append(
            "sync folder" if Path(f"/proc/self/fd/{descriptor}").resolve() == tmp_path else "sync file"
        )
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    spool.write(tmp_path, "1-1-0.png", b"picture")
    assert order == ["sync file", "rename", "sync folder"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full the error surfaces, the half file goes, and an older picture stays as it was."""
    spool.write(tmp_path, "1-1-0.png", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.write(tmp_path, "1-1-0.png", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["1-1-0.png"]
    assert (tmp_path / "1-1-0.png").read_bytes() == b"old"


def test_discarding_what_is_not_there(tmp_path: Path) -> None:
    """Discarding removes a file, and a missing one is no error."""
    path, _ = spool.write(tmp_path, "a.png", b"x")
    spool.discard(str(path))
    spool.discard(str(path))
    assert not list(tmp_path.iterdir())


def test_names_differ_by_job_attempt_and_image() -> None:
    """No two images of any job or attempt share a file."""
    names = {
        spool.file_name(job, attempt, image) for job in (1, 11) for attempt in (1, 11) for image in (0, 1)
    }
    assert len(names) == 8
    assert spool.file_name(7, 2, 1) == "7-2-1.png"
