"""`python -m workshop.bench.memory`: what an engine's process holds while OpenVINO is made ready, and afterwards. Linux only.

A real engine: drawn with by torch, converted, drawn with by OpenVINO, torch's weights gone, and back for a picture that needs
them. `--computed` says instead what it comes to for well-known models, by how many numbers their weights are.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoints.known_models import KNOWN, NUMBERS
from engine.contract import STARTER, EngineSettings, GenerationRequest, ModelInfo
from engine.device.offload import REST_S
from engine.openvino import files
from engine.process import start
from workshop.bench.crowd import Desk, ready
from workshop.bench.machine import SD15_RANDOM

LOOK_EVERY_S = 0.2
CONVERTED_S = 3600.0
DECODER = 49_490_199
"""Numbers of the decoder of Stable Diffusion's VAE, and of SDXL's."""
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was held at one moment, in bytes."""

    when: str
    engine: int
    private: int
    """Of that what no file on the disk holds as well, so that the system can't take it back."""
    with_converter: int = 0
    """With the process that converts beside it; 0 where there is none."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code; prints a table."""
    parser = argparse.ArgumentParser(prog="python -m workshop.bench.memory", description=__doc__)
    parser.add_argument("--model", default=STARTER, help=f"hub id, folder or file, or {SD15_RANDOM}")
    parser.add_argument(
        "--pixels", type=int, default=0, help="a side of each picture; 0: the model's own size"
    )
    parser.add_argument("--folder", type=Path, help="where random weights are kept for the next time")
    parser.add_argument("--computed", action="store_true", help="draw nothing")
    options = parser.parse_args(arguments)
    if options.computed:
        print(*computed(), sep="\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="easel-memory-") as folder:
        settings = EngineSettings(
            spool=f"{folder}/spool",
            data=folder,
            model=_made(options.folder or Path(folder)) if options.model == SD15_RANDOM else options.model,
            device="cpu",
            mode="wide",
            runtime="openvino",
        )
        try:
            for each in measured(settings, options.pixels):
                print(_line(each), flush=True)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return EXIT_FAILED
    return 0


def computed() -> Iterator[str]:
    """Rows of a table, in GB of float32: what torch's parts take, OpenVINO's, and what stays once torch's are gone."""
    yield "| model | all of torch's | OpenVINO's beside them | both | once torch's UNet and decoder left |"
    yield "|---|---|---|---|---|"
    for name, (core, vae, aside) in NUMBERS.items():
        torchs, twin = 4 * (core + vae + aside), 4 * (core + DECODER)
        values = (torchs, twin, torchs + twin, torchs)
        yield f"| {KNOWN[name]['title']} | {' | '.join(f'{value / 1e9:.1f}' for value in values)} |"


def measured(settings: EngineSettings, pixels: int = 0, *, rest_s: float = REST_S) -> Iterator[Held]:
    """Raises RuntimeError where the engine fails, or OpenVINO is not used."""
    Path(settings.spool).mkdir(parents=True, exist_ok=True)
    process = start(settings)
    try:
        model, desk = ready(process), Desk(process)
        odd = model.side_multiple * (max(model.side_min, pixels or model.width) // model.side_multiple - 1)
        usual = _request(model, pixels or model.width)
        with _watched(process.pid) as most:
            yield _held(process.pid, "torch draws, before the first picture")
            desk.draw([usual])
            yield _held(process.pid, "torch drew")
            note = _noted(settings)
            yield _held(process.pid, "OpenVINO is ready", most())
        made_by = desk.draw([usual])[0].made_by
        if made_by == "torch":
            raise RuntimeError(f"OpenVINO is not used: {note}")
        time.sleep(rest_s + 5)
        yield _held(process.pid, "a minute later, without torch's UNet and decoder")
        desk.draw([usual])
        yield _held(process.pid, "OpenVINO drew")
        begin = time.monotonic()
        by = desk.draw([_request(model, odd)])[0].made_by
        words = f"a picture of {odd} pixels a side, by {by}, took {time.monotonic() - begin:.1f} s"
        yield _held(process.pid, words)
        time.sleep(rest_s + 5)
        yield _held(process.pid, "a minute later, without torch's again")
    finally:
        process.stop(10.0)
        process.close()


def _request(model: ModelInfo, pixels: int) -> GenerationRequest:
    return model.request(prompt="a red circle", seed=1, steps=1, size=(pixels, pixels))


def _noted(settings: EngineSettings) -> str:
    """What was measured of the converted model, when it was."""
    folder, begin = Path(str(settings.data)) / files.FOLDER, time.monotonic()
    while not (notes := [*folder.glob("*.json")]):
        if time.monotonic() - begin > CONVERTED_S:
            raise RuntimeError("OpenVINO was not ready within an hour.")
        time.sleep(LOOK_EVERY_S)
    time.sleep(2.0)  # until the engine has let go of what was compared
    found = notes[0].with_suffix("")
    return str(files.failure(found) or files.find(found))


def _made(folder: Path) -> str:
    from workshop.bench.peers import model

    folder.mkdir(parents=True, exist_ok=True)
    model.use_cache(folder)
    return str(model.make(folder))


# ------------------------------------------------------------------ what processes hold


@contextmanager
def _watched(pid: int) -> Generator[Callable[[], int]]:
    """What says how many bytes this process and its children held together at most since then."""
    done, most = threading.Event(), [0]

    def look() -> int:
        most[0] = max(most[0], sum(_bytes(each, "VmRSS") for each in (pid, *_children(pid))))
        return most[0]

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield look
    finally:
        done.set()
        thread.join()


def _children(pid: int) -> list[int]:
    found = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for text in found for child in text.split()]


def _held(pid: int, when: str, with_converter: int = 0) -> Held:
    return Held(
        when=when, engine=_bytes(pid, "VmRSS"), private=_bytes(pid, "RssAnon"), with_converter=with_converter
    )


def _bytes(pid: int, key: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(rf"(?m)^{key}:\s+(\d+) kB$", text)
    return int(found[1]) * 1024 if found else 0


def _line(held: Held) -> str:
    beside = (
        f", at most {held.with_converter / 1e9:.2f} with the converter until then"
        if held.with_converter
        else ""
    )
    return f"{held.engine / 1e9:.2f} GB, {held.private / 1e9:.2f} of them private{beside}: {held.when}"


if __name__ == "__main__":
    sys.exit(main())
