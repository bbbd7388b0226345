"""The UNet, compiled behind the first images: whatever it is not ready for is drawn as it is. Knows no requests.

Compiling is a process of its own (`engine.ahead`) and never a thread: torch's compiler needs minutes of Python, and while
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
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine import programs, rows, tuning
from engine.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_SMALL = 8
"""Numbers: what the compiler finds in weights of up to so many it writes into the program."""
_LIKE = {torch.float32: 1e-3}
_LIKE_HALF = 3e-2
"""How far a compiled forward may be from the plain one, on average, as a share of it: rounding only."""
_TURNS = 3
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that `engine.ahead` is told, as JSON."""

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
    """What `engine.tuning` has turned on."""
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

        It is kept in `file`, or lies there from an earlier start; `switches` are those of `engine.tuning`.
        """
        # LoRAs change the layers of a UNet, even when they are switched off.
        self._plain = _twin(unet)
        self._like, self._file = like, file
        self._least, self._most = (max(2, count) for count in counts)
        self._look = _look(like)
        self._switches = switches
        self._model: Any = None
        self._is_pending = False
        self._thread: threading.Thread | None = None
        self.words = f"compiled with {compiler()}"
        """What a fingerprint says of it."""

    @property
    def is_in_use(self) -> bool:
        return self._model is not None

    def takes(self, batch: Rows) -> bool:
        """Whether these rows can be given to it now."""
        return self.is_in_use and self._is_for(batch)

    def may_take(self, batch: Rows) -> bool:
        """Whether it may turn out to take such rows later, though it does not yet."""
        return self._is_pending and self._is_for(batch)

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row; only for a batch that it takes."""
        return self._model(*batch.parts)

    def begin(self, *, worth: float | None = None) -> None:
        """Loads what an earlier start made; otherwise compiles, and a thread of its own waits for that.

        If it takes more than `worth` of the plain forward's time, it is not used.
        """
        self._is_pending = True
        me = weakref.ref[CompiledUnet](self)
        if self._file.exists():
            _work(me, None, worth)
            return
        self._thread = threading.Thread(
            target=_work, args=(me, self._order(), worth), name="easel-compile", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being compiled or loaded any more."""
        if self._thread is not None:
            self._thread.join()

    def finish(self, worth: float | None) -> None:
        """Loads what was compiled and takes it into use if it is sound and pays. Raises what it raises."""
        try:
            os.utime(self._file)
            model = self._sound()
            if (share := programs.share_of(self._file)) is None:
                share = self._share(model)
                programs.keep_share(self._file, share)
            if worth is None or share <= worth:
                self._model = model
            else:
                self._file.unlink()
                _log.info("the compiled model is no faster here (%.2f of the time), and is not used", share)
        finally:
            self._is_pending = False

    def give_up(self) -> None:
        self._is_pending = False

    def _is_for(self, batch: Rows) -> bool:
        return self._least <= len(batch) <= self._most and _look(batch) == self._look

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

    def _sound(self) -> Any:
        """What lies in the file. Where it can't be used it is taken away, so that the next start makes it anew."""
        try:
            model = _loaded(self._file, self._plain)
            self._check(model)
        except Exception:
            self._file.unlink(missing_ok=True)
            raise
        return model

    @torch.inference_mode()
    def _check(self, model: Any) -> None:
        """Raises Differs if it does not predict what the plain UNet predicts."""
        batch = rows.noise(self._like, self._least)
        plain = call(self._plain, batch).float()
        apart = (model(*batch.parts).float() - plain).abs().mean()
        like = _LIKE.get(self._like.latents.dtype, _LIKE_HALF)
        if not apart <= like * plain.abs().mean():
            raise Differs(f"its predictions are off by {apart:.2g}")

    @torch.inference_mode()
    def _share(self, model: Any) -> float:
        """Of the plain forward's time, with as many rows as there can be; both by turns, since others draw meanwhile."""
        batch = rows.noise(self._like, self._most)
        turns = [
            (
                tuning.seconds(lambda: call(self._plain, batch).cpu(), runs=1),
                tuning.seconds(lambda: model(*batch.parts).cpu(), runs=1),
            )
            for _ in range(_TURNS)
        ]
        plain, compiled = (min(times) for times in zip(*turns, strict=True))
        return compiled / plain


class Differs(Exception):
    """What was compiled draws something else."""


def _work(unet: weakref.ref[CompiledUnet], order: Order | None, worth: float | None) -> None:
    """Holds on to nothing while it waits: a model that is let go meanwhile must leave the memory."""
    try:
        if order is not None:
            compile_ahead(order)
        if (compiled := unet()) is not None:
            compiled.finish(worth)
    except Exception as error:  # noqa: BLE001 - a missing compiler, most often: plain drawing goes on
        _log.warning("the model can't be compiled here, and is used as it is: %s", error)
        if (compiled := unet()) is not None:
            compiled.give_up()


def compile_ahead(order: Order) -> None:
    """Has a process of its own make `order.file`. Raises RuntimeError that says why it could not."""
    if compiler() is None:
        raise RuntimeError("there is no C++ compiler")
    file = Path(order.file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time:
        done = subprocess.run(
            [sys.executable, "-m", "engine.ahead", str(os.getpid())],
            input=json.dumps(asdict(order)),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    programs.prune(file.parent)


def compiler() -> str | None:
    """The C++ compiler that torch will use, with its version; None where there is none."""
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if (found := shutil.which(name)) is None:
        return None
    told = subprocess.run([found, "--version"], check=False, capture_output=True, text=True, errors="replace")
    return (told.stdout.splitlines() or [name])[0].strip()


def _loaded(file: Path, unet: Any) -> Any:
    """The program in `file`, on these weights: they are not copied."""
    inductor: Any = import_module("torch._inductor")
    model = inductor.aoti_load_package(str(file))
    weights = dict(chain(unet.named_parameters(), unet.named_buffers()))
    wanted = {name: weights[name.removeprefix("unet.")] for name in model.get_constant_fqns()}
    model.load_constants(wanted, check_full_update=True, user_managed=True)
    return model


def _twin(unet: Any) -> Any:
    """Layers of its own around the very same weights."""
    unet.requires_grad_(False)  # as LoRAs leave it: it is the same model for what was compiled
    kept = {id(tensor): tensor for tensor in chain(unet.parameters(), unet.buffers())}
    return copy.deepcopy(unet, kept)


def _look(batch: Rows) -> tuple[Any, ...]:
    return tuple(part if part is None else (part.shape[1:], part.dtype) for part in batch.parts)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def call(unet: Any, batch: Rows) -> Tensor:
    """One forward of a UNet; what only SDXL's takes is left out for others."""
    added = {"text_embeds": batch.pooled, "time_ids": batch.sizes}
    return unet(
        batch.latents,
        batch.timesteps,
        encoder_hidden_states=batch.embeddings,
        timestep_cond=batch.guidance,
        added_cond_kwargs=None if batch.pooled is None else added,
        return_dict=False,
    )[0]
