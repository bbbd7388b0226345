"""A model's networks on OpenVINO, made ready behind the first pictures: converted, compared, measured; knows no network's kind.

What is not ready, or failed, torch computes. Whatever it is used for it was compared with torch's first.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine.child import BEHIND
from engine.errors import BrokenModel
from engine.openvino import convert, files, networks
from engine.openvino.convert import Order, Part
from engine.openvino.files import Findings, Wanted
from engine.openvino.networks import Network
from engine.unet.costs import Costs, timed

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_LIKE, _LIKE_HALF = 1e-4, 3e-2
"""How far numbers may be from torch's, on average, as a share of them: rounding only."""
_TURNS = 5
_TURNS_S = 30.0
"""Every number of threads is timed so often, by turns, but on a slow machine, where people wait, no longer than this."""
_LARGE = 10**8
"""Weights from which on more threads always pay: no second copy of them is made to find out."""
_one_at_a_time = threading.Lock()
"""Models are converted one after the other, whoever opened them."""


class Differs(Exception):
    """What was converted computes something else."""


class Behind(ABC):
    """The networks of one model."""

    names: Sequence[str]
    """Of its networks; the first is the one that is measured."""

    def __init__(self, wanted: Wanted, model: str = "this model") -> None:
        """`model` is what the log calls it."""
        self._wanted, self._model = wanted, model
        self._networks: dict[str, Network] = {}
        self._found: Findings | None = None
        self._thread: threading.Thread | None = None

    # -------------------------------------------------------------- asked while pictures are drawn

    @property
    def is_in_use(self) -> bool:
        return bool(self._networks)

    @property
    def is_pending(self) -> bool:
        """Whether it may turn out to be used, though it is not yet."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def words(self) -> str:
        """What a fingerprint says of a picture that it computed."""
        assert self._found is not None  # nobody asks before it is in use
        return networks.words(self._found.threads)

    def _computed(self, name: str, *tensors: Tensor) -> Tensor:
        """Raises MemoryError for whatever goes wrong in it, and is used no more."""
        try:
            return self._networks[name](*tensors)
        except Exception as error:
            self._networks = {}
            _log.warning("OpenVINO failed, and torch draws on: %s", _first_line(error))
            raise MemoryError("OpenVINO failed") from error

    # -------------------------------------------------------------- made ready

    def begin(self) -> None:
        """Makes it ready on a thread of its own."""
        self._thread = threading.Thread(
            target=_work, args=(weakref.ref(self), self._model), name=BEHIND, daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Returns when it is in use, or never will be."""
        if self._thread is not None:
            self._thread.join()

    def order(self) -> Order | None:
        """What is still to be converted, with what that takes written beside; None where nothing is. Raises OSError."""
        folder = self._wanted.folder
        if folder.exists():
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.clean(folder.parent)
        beside = files.partial_of(folder)
        beside.mkdir()
        try:
            self._write(beside)
        except Exception:
            files.drop(beside)
            raise
        return Order(folder=str(folder), partial=str(beside), parts=self._parts())

    def finish(self) -> None:
        """Takes what was converted into use, if it is sound and pays. Raises Differs, or what loading raises."""
        folder, worth = self._wanted.folder, self._wanted.worth
        known, first = files.find(folder), self.names[0]
        try:
            threads = [known.threads] if known else self._candidates()
            firsts = {count: self._network(first, count) for count in threads}
            made = {name: self._network(name, threads[0]) for name in self.names[1:]}
            self._check({first: firsts[threads[0]], **made})
        except (MemoryError, BrokenModel):
            raise
        except Exception:  # OpenVINO has no names for damaged files
            files.drop(folder)
            raise
        found = known if known and known.holds else self._measured(firsts, known)
        files.keep(folder, found)
        files.touch(folder)
        if worth is not None and found.share > worth:
            files.drop(folder)
            _log.info(
                "OpenVINO is no faster with %s here (%.2f of torch's time), and is not used",
                self._model,
                found.share,
            )
            return
        if found.threads != threads[0]:
            made = {name: self._network(name, found.threads) for name in made}
        self._found = found
        self._networks = {first: firsts[found.threads], **made}
        _log.info("%s", self._told(found))

    def give_up(self, why: str) -> None:
        """Notes for later starts that it did not come to be used."""
        files.give_up(self._wanted.folder, why)

    def _candidates(self) -> list[int]:
        """Numbers of threads that are tried."""
        most = self._wanted.threads_max
        return [most] if self._numbers >= _LARGE else sorted({1, min(2, most), most})

    def _network(self, name: str, threads: int) -> Network:
        return Network(self._wanted.folder / f"{name}.xml", threads=threads, bfloat16=self._is_half)

    @torch.inference_mode()
    def _measured(self, firsts: dict[int, Network], known: Findings | None) -> Findings:
        """By turns, and each by its best turn: others draw meanwhile. What bits depend on stays as it was `known`."""
        acts = {0: self._trial(None), **{count: self._trial(first) for count, first in firsts.items()}}
        best, enough = dict.fromkeys(acts, float("inf")), time.monotonic() + _TURNS_S
        for turn in range(_TURNS):
            if turn and time.monotonic() > enough:
                break
            for count, act in acts.items():
                best[count] = min(best[count], timed(act))
        threads = min(firsts, key=best.__getitem__)
        costs = self._costs(firsts[threads])
        rows = known.rows if known else costs.knee if costs else 1
        return Findings(
            share=best[threads] / best[0], threads=threads, rows=rows, costs=costs, at=time.time()
        )

    # -------------------------------------------------------------- what each kind says

    @property
    def _is_half(self) -> bool:
        """Whether torch computes in bfloat16."""
        return False

    @property
    @abstractmethod
    def _numbers(self) -> int:
        """How many the weights of the first are."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Puts what converting needs there. Raises OSError."""

    @abstractmethod
    def _parts(self) -> dict[str, Part]: ...

    @abstractmethod
    def _check(self, made: Mapping[str, Network]) -> None:
        """Raises Differs if they do not compute what torch does."""

    @abstractmethod
    def _trial(self, first: Network | None) -> Callable[[], object]:
        """What is timed of it; None: of torch's network."""

    def _costs(self, first: Network) -> Costs | None:
        """Of its forwards by their rows; None where they have but one."""
        del first

    @abstractmethod
    def _told(self, found: Findings) -> str:
        """That it is in use, as a sentence."""

    @abstractmethod
    def let_go(self) -> None:
        """Torch's networks are not compared with any more."""


def _work(runtime: weakref.ref[Behind], model: str) -> None:
    """Holds on to nothing while it waits: a model that is let go meanwhile must leave the memory."""
    try:
        with _one_at_a_time:
            order = None if (one := runtime()) is None else one.order()
            del one
            if order is not None:
                convert.convert_apart(order)
        if (one := runtime()) is not None:
            one.finish()
    except Exception as error:  # noqa: BLE001 - whatever it is, torch draws on
        why = _first_line(error)
        _log.warning("OpenVINO can't compute %s, and torch draws on: %s", model, why)
        if (one := runtime()) is not None:
            one.give_up(why)
    finally:
        if (one := runtime()) is not None:
            one.let_go()


def _first_line(error: Exception) -> str:
    return [*str(error).strip().splitlines(), type(error).__name__][0]


# ------------------------------------------------------------------ tried out


def compare(found: Tensor, expected: Tensor) -> None:
    """Raises Differs, and RuntimeError where not even their shapes are equal."""
    apart = (found.float() - expected.float()).abs().mean()
    like = _LIKE if expected.dtype is torch.float32 else _LIKE_HALF
    if not apart <= like * expected.float().abs().mean():
        raise Differs(f"its numbers are off by {apart:.2g}")
