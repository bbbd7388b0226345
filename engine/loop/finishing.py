"""What goes on in threads beside the drawing: images are read, previews made, pictures written; knows no table of jobs.

Whoever hands a picture in gets it back with what came of it, once that is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from engine.contract import GenerationRequest, SpooledImage
from engine.contract.failpoints import Failpoint, reach
from engine.contract.settings import Metadata
from engine.loop.job import Picture
from engine.pictures import decoding, inputs, metadata, spool
from engine.pictures.decoding import Inputs

SAVERS = 2
_Made = TypeVar("_Made")


class Finishing:
    """Threads for what takes no model."""

    def __init__(self, folder: Path, *, told: Metadata = "full") -> None:
        """Pictures are written into `folder`, and tell so much of themselves; what they start from lies in one within it."""
        self._folder = folder
        self._told: Metadata = told
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="easel-inputs")
        self._sketcher = ThreadPoolExecutor(1, thread_name_prefix="easel-preview")
        self._saver = ThreadPoolExecutor(SAVERS, thread_name_prefix="easel-spool")
        self._sketches: dict[Future[bytes], Picture] = {}
        self._saves: dict[Future[SpooledImage], Picture] = {}

    def read(self, request: GenerationRequest) -> Future[Inputs | None]:
        """What this request starts from, decoded; InvalidRequest in it for files that are no good."""
        return self._reader.submit(decoding.begun, self._folder / inputs.FOLDER, request)

    def sketch(self, picture: Picture, make: Callable[[], bytes]) -> None:
        """Has a preview made."""
        self._sketches[self._sketcher.submit(make)] = picture

    def is_sketching(self, picture: Picture) -> bool:
        return picture in self._sketches.values()

    def save(self, picture: Picture, image: Image.Image) -> None:
        """Has its file written."""
        self._saves[self._saver.submit(_saved, self._folder, picture, image, self._told)] = picture

    @property
    def is_saving(self) -> bool:
        return bool(self._saves)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Those that a thread still works on."""
        return (*self._saves.values(), *self._sketches.values())

    def sketched(self) -> Iterator[tuple[Picture, bytes | Exception]]:
        """The previews that were made since it was last asked, and what went wrong with the others."""
        return _taken(self._sketches)

    def saved(self) -> Iterator[tuple[Picture, SpooledImage | Exception]]:
        """The files that were written since it was last asked, and what went wrong with the others."""
        return _taken(self._saves)

    def wait(self, unread: Sequence[Future[Any]], timeout_s: float) -> None:
        """Until a file is written, or one of the `unread` is read; where there is neither for as long as it may."""
        busy = [*self._saves, *unread]
        if not busy:
            time.sleep(timeout_s)
        wait(busy, timeout=timeout_s, return_when=FIRST_COMPLETED)

    def close(self, *, orderly: bool) -> None:
        """Begins nothing any more, and waits for what was begun if all went well."""
        for pool in (self._sketcher, self._saver, self._reader):
            pool.shutdown(wait=orderly, cancel_futures=True)


def _taken(pending: dict[Future[_Made], Picture]) -> Iterator[tuple[Picture, _Made | Exception]]:
    for future in [future for future in pending if future.done()]:
        picture, error = pending.pop(future), future.exception()
        yield picture, error if isinstance(error, Exception) else future.result()


def _saved(folder: Path, picture: Picture, image: Image.Image, told: Metadata) -> SpooledImage:
    """Encodes and writes it. Raises OSError."""
    job, index = picture.job, picture.index
    png = metadata.encode_png(
        image,
        request=job.request,
        index=index,
        notes=job.notes,
        fingerprint={**picture.by.fingerprint, **picture.made_with, **picture.served},
        told=told,
    )
    path, sha256 = spool.write(folder, spool.file_name(*job.key, index), png)
    reach(Failpoint.SPOOLED)
    return SpooledImage(
        seed=job.request.seed_of(index),
        path=None if picture.flagged else str(path),
        aside=str(path) if picture.flagged else None,
        unsafe=picture.unsafe,
        flagged=picture.flagged,
        sha256=sha256,
        size_bytes=len(png),
        width=image.width,
        height=image.height,
    )
