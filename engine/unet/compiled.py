"""The UNet, compiled behind the first images: whatever it is not ready for is drawn as it is. Knows no requests.

Compiling is a process of its own (`engine.unet.compiler`) and never a thread: torch's compiler needs minutes of Python, and while
it traces a model it changes what calling a module means, for everybody in its process. What comes out is kept: later
starts have it within a second, and it draws the same bits as today.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine import errors
from engine.unet import compiled_files
from engine.unet.batch import Rows, forward, noise

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_SMALL = 8
"""Numbers: what the compiler finds in weights of up to so many it writes into the program."""
_LIKE = {torch.float32: 1e-3}
_LIKE_HALF = 3e-2
"""How far a compiled forward may be from the plain one, on average, as a share of it: rounding only."""
_TURNS = 4
_TURNS_S = 20.0
"""Both forwards are timed so often, but on a slow machine, where people wait for pictures, after so many seconds only twice."""
LIMIT_S = 3600.0
"""For compiling; who takes longer hangs."""
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that `engine.unet.compiler` is told, as JSON."""

    file: str
    """Where it writes what it made."""
    kind: str
    config: Mapping[str, Any]
    """Class of the UNet in diffusers, and its configuration."""
    small: Mapping[str, list[float]]
    """Its weights of up to 8 numbers, by name."""
    device: str
    dtype: str
    threads: int
    switches: Mapping[str, str]
    """What `engine.unet.switches` has turned on."""
    parts: Sequence[tuple[list[int], str] | None]
    """(shape of one row, dtype) of each part of `Rows`, None for those that it has not."""
    rows: int
    """From two up to so many it is compiled for."""


class CompiledUnet:
    """A compiled twin of a UNet, on the very same weights, for rows of one shape."""

    def __init__(
        self, unet: Any, like: Rows, *, counts: tuple[int, int], file: Path, switches: Mapping[str, str]
    ) -> None:
        """For rows that look `like` these, at least and at most so many, from two on.

        It is kept in `file`, or lies there from an earlier start; `switches` are those of `engine.unet.switches`.
        """
        # LoRAs change the layers of a UNet, even when they are switched off.
        self._plain = _twin(unet)
        self._like, self._file = like, file
        self._least, self._most = (max(2, count) for count in counts)
        self._look = _look(like)
        self._switches = switches
        self._program: Program | None = None
        self._is_pending = False
        self._thread: threading.Thread | None = None
        self.words = words()

    @property
    def is_in_use(self) -> bool:
        return self._program is not None

    def takes(self, batch: Rows) -> bool:
        """Whether these rows can be given to it now."""
        return self.is_in_use and self._is_for(batch, len(batch))

    def may_take(self, like: Rows, count: int) -> bool:
        """Whether it may turn out to take so many rows that look like these later, though it does not yet."""
        return self._is_pending and self._is_for(like, count)

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row; only for a batch that it takes. Raises MemoryError for whatever goes wrong in it.

        What that was torch does not tell: the plain forward, which is used from then on, would meet it again and say so.
        """
        assert self._program is not None
        try:
            return self._program(batch)
        except RuntimeError as error:
            self._program = None
            _log.warning("a compiled forward failed, and the model is used as it is: %s", error)
            errors.check_device(error)
            raise MemoryError("a compiled forward failed") from error

    def begin(self, *, worth: float | None = None) -> None:
        """Loads what an earlier start made; otherwise compiles, and a thread of its own waits for that.

        What was just made is not used if it takes more than `worth` of the plain forward's time.
        """
        if self._file.exists():
            self._load()
        if self.is_in_use:
            return
        self._is_pending = True
        self._thread = threading.Thread(
            target=_work,
            args=(weakref.ref[CompiledUnet](self), self._order(), worth),
            name="easel-compile",
            daemon=True,
        )
        self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being compiled any more."""
        if self._thread is not None:
            self._thread.join()

    def finish(self, worth: float | None) -> None:
        """Takes what was made into use, if it is sound and pays. Raises Differs, or what loading raises."""
        program = self._sound()
        share = self._share(program)
        compiled_files.keep_share(self._file, share)
        if worth is None or share <= worth:
            self._program = program
        else:
            compiled_files.drop(self._file)
            _log.info("the compiled model is no faster here (%.2f of the time), and is not used", share)

    def settle(self) -> None:
        """Whether it is used is decided."""
        self._is_pending = False

    def _load(self) -> None:
        try:
            self._program = self._sound()
        except Exception as error:  # noqa: BLE001 - it is made anew
            _log.warning("a compiled model can't be used any more: %s", error)

    def _is_for(self, like: Rows, count: int) -> bool:
        return self._least <= count <= self._most and _look(like) == self._look

    def _order(self) -> Order:
        weight = next(self._plain.parameters())
        small = {
            name: [float(number) for number in tensor.flatten()]
            for name, tensor in self._plain.named_parameters()
            if tensor.numel() <= _SMALL
        }
        return Order(
            file=str(self._file),
            kind=type(self._plain).__name__,
            config={name: value for name, value in self._plain.config.items() if name != "_name_or_path"},
            small=small,
            device=str(weight.device),
            dtype=_name(weight.dtype),
            threads=torch.get_num_threads(),
            switches=self._switches,
            parts=[
                None if part is None else (list(part.shape[1:]), _name(part.dtype))
                for part in self._like.parts
            ],
            rows=self._most,
        )

    def _sound(self) -> Program:
        """What lies in the file. Where it can't be used it is taken away, so that it is made anew."""
        try:
            program = Program(self._file, self._plain)
            self._check(program)
        except Exception:
            compiled_files.drop(self._file)
            raise
        compiled_files.touch(self._file)
        return program

    @torch.inference_mode()
    def _check(self, program: Program) -> None:
        """Raises Differs if it does not predict what the plain UNet predicts."""
        batch = noise(self._like, self._least)
        plain = forward(self._plain, batch).float()
        apart = (program(batch).float() - plain).abs().mean()
        like = _LIKE.get(self._like.latents.dtype, _LIKE_HALF)
        if not apart <= like * plain.abs().mean():
            raise Differs(f"its predictions are off by {apart:.2g}")

    @torch.inference_mode()
    def _share(self, program: Program) -> float:
        """Of the plain forward's time, with as many rows as there can be; both by turns, since others draw meanwhile."""
        batch = noise(self._like, self._most)

        def seconds(act: Callable[[Rows], Tensor]) -> float:
            begin = time.perf_counter()
            act(batch).cpu()
            return time.perf_counter() - begin

        turns: list[tuple[float, float]] = []
        enough = time.monotonic() + _TURNS_S
        while len(turns) < 2 or (len(turns) < _TURNS and time.monotonic() < enough):
            turns.append((seconds(partial(forward, self._plain)), seconds(program)))
        plain, compiled = (min(times) for times in zip(*turns, strict=True))
        return compiled / plain


class Program:
    """What was compiled, on the weights of a UNet: they are not copied."""

    def __init__(self, file: Path, unet: Any) -> None:
        """Raises what torch raises for files that are no good."""
        inductor: Any = import_module("torch._inductor")
        self._run = inductor.aoti_load_package(str(file))
        weights = dict(chain(unet.named_parameters(), unet.named_buffers()))
        aliases = {
            name: weights[name.removeprefix("unet.")].detach() for name in self._run.get_constant_fqns()
        }
        self._run.load_constants(aliases, check_full_update=True, user_managed=True)
        # torch 2.13 never lets go of what it was given (pytorch #194480): it gets names of the weights, emptied at the end.
        weakref.finalize(self, _empty, list(aliases.values()))

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row. It was compiled for numbers that lie side by side, and asks no questions."""
        return self._run(*(None if part is None else part.contiguous() for part in batch.parts))


class Differs(Exception):
    """What was compiled draws something else."""


def _empty(tensors: Sequence[Tensor]) -> None:
    for tensor in tensors:
        tensor.data = tensor.new_empty(0)


def _work(unet: weakref.ref[CompiledUnet], order: Order, worth: float | None) -> None:
    """Holds on to nothing while it waits: a model that is let go meanwhile must leave the memory."""
    try:
        compile_ahead(order)
        if (compiled := unet()) is not None:
            compiled.finish(worth)
    except Exception as error:  # noqa: BLE001 - a missing compiler, most often: plain drawing goes on
        _log.warning("the model can't be compiled here, and is used as it is: %s", error)
    finally:
        if (compiled := unet()) is not None:
            compiled.settle()


def compile_ahead(order: Order) -> None:
    """Has a process of its own make `order.file`, unless it is there. Raises RuntimeError that says why it could not."""
    if compiler() is None:
        raise RuntimeError("there is no C++ compiler")
    file = Path(order.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time:
        if file.exists():  # the model was opened twice
            return
        compiled_files.clean(file.parent)
        done = subprocess.run(
            [sys.executable, "-m", "engine.unet.compiler", str(os.getpid())],
            input=json.dumps(asdict(order)),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


def compiler() -> str | None:
    """The C++ compiler that torch will use, with its version; None where there is none."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return _version_of(found) if (found := shutil.which(name)) else None


@cache
def _version_of(program: str) -> str | None:
    told = subprocess.run(
        [program, "--version"], check=False, capture_output=True, text=True, errors="replace"
    )
    return (told.stdout.splitlines() or [None])[0]


def words() -> str:
    """What a fingerprint says of a picture for which the compiled UNet was used."""
    return f"compiled with {compiler()}"


def _twin(unet: Any) -> Any:
    """Layers of its own around the very same weights."""
    unet.requires_grad_(False)  # as LoRAs leave it, which share these weights
    kept = {id(tensor): tensor for tensor in chain(unet.parameters(), unet.buffers())}
    return copy.deepcopy(unet, kept)


def _look(batch: Rows) -> tuple[Any, ...]:
    return tuple(part if part is None else (part.shape[1:], part.dtype) for part in batch.parts)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
