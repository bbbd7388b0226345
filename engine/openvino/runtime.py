"""A pipeline's UNet and decoder on OpenVINO, made ready behind the first pictures; knows rows and latents, no request.

What is not ready, not for it, or failed, torch computes. Whatever it is used for it was compared with torch's first.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]

from engine.child import BEHIND
from engine.errors import BrokenModel
from engine.openvino import convert, files, networks
from engine.openvino.convert import DECODER, UNET, Order, Part
from engine.openvino.files import Findings, Wanted
from engine.openvino.networks import Network
from engine.unet.batch import Rows, forward, noise
from engine.unet.costs import measure, timed

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger("easel.engine")
_LIKE, _LIKE_HALF = 1e-4, 3e-2
"""How far a prediction may be from torch's, on average, as a share of it: rounding only."""
_TURNS = 5
_TURNS_S = 30.0
"""Every number of threads is timed so often, by turns, but on a slow machine, where people wait, no longer than this."""
_LARGE = 10**8
"""Weights from which on more threads always pay: no second copy of them is made to find out."""
_one_at_a_time = threading.Lock()
"""Models are converted one after the other, whoever opened them."""
SIDES_AT_LEAST = 2
"""Latents a side, after all halvings: what is smaller is traced as a special case."""


class OpenVino:
    """The networks of one pipeline, for pictures of any size that they can be halved to."""

    def __init__(self, unet: Any, vae: Any, like: Rows, wanted: Wanted) -> None:
        """For rows that look `like` these, whatever their sides and tokens."""
        # LoRAs change the layers of a UNet, even when they are switched off; and tiles those of a VAE.
        self._unet, self._vae = _twin(unet), _twin(vae)
        self._vae.use_tiling = False
        self._like, self._wanted = like, wanted
        self._look = _look(like)
        self._halvings = 2 ** (len(unet.config.block_out_channels) - 1)
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
        return networks.words(self._found.threads, self.rows)

    @property
    def rows(self) -> int:
        """Of a forward, as many as pay."""
        assert self._found is not None
        return min(self._found.rows, self._wanted.rows_max)

    def suits(self, like: Rows) -> bool:
        """Whether rows that look like these are for it, ready or not."""
        height, width = like.latents.shape[-2:]
        whole = not height % self._halvings and not width % self._halvings
        return whole and min(height, width) >= SIDES_AT_LEAST * self._halvings and _look(like) == self._look

    def __call__(self, batch: Rows) -> Tensor:
        """The prediction for each row. Raises MemoryError for whatever goes wrong in it, and is used no more."""
        return self._computed(UNET, *batch.given)

    def decode(self, latents: Tensor) -> Tensor:
        """(1, 3, height, width) from -1 to 1, of latents as the VAE takes them. Raises as calling it does."""
        return self._computed(DECODER, latents)

    def _computed(self, name: str, *tensors: Tensor) -> Tensor:
        try:
            return self._networks[name](*tensors)
        except Exception as error:
            self._networks = {}
            _log.warning("OpenVINO failed, and torch draws on: %s", _first_line(error))
            raise MemoryError("OpenVINO failed") from error

    # -------------------------------------------------------------- made ready

    def begin(self) -> None:
        """Makes it ready on a thread of its own."""
        self._thread = threading.Thread(target=_work, args=(weakref.ref(self),), name=BEHIND, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Returns when it is in use, or never will be."""
        if self._thread is not None:
            self._thread.join()

    def order(self) -> Order | None:
        """What is still to be converted, with the weights written beside; None where nothing is. Raises OSError."""
        folder = self._wanted.folder
        if folder.exists():
            return None
        folder.parent.mkdir(parents=True, exist_ok=True)
        files.clean(folder.parent)
        beside = files.partial_of(folder)
        beside.mkdir()
        of_decoder = ("decoder.", "post_quant_conv.")
        decoder = {
            name: weight for name, weight in self._vae.state_dict().items() if name.startswith(of_decoder)
        }
        try:
            for name, weights in ((UNET, self._unet.state_dict()), (DECODER, decoder)):
                contiguous = {key: weight.contiguous() for key, weight in weights.items()}
                save_file(contiguous, beside / f"{name}.safetensors")
        except Exception:
            files.drop(beside)
            raise
        return Order(folder=str(folder), partial=str(beside), parts=self._parts())

    def _parts(self) -> dict[str, Part]:
        side = 2 * SIDES_AT_LEAST * self._halvings
        rows = [None if part is None else [int(size) for size in part.shape[1:]] for part in self._like.parts]
        assert rows[0] is not None
        rows[0][1:] = [side, side]
        latents = [int(self._vae.config.latent_channels), side, side]
        return {
            UNET: Part(kind=type(self._unet).__name__, config=_config(self._unet), given=rows),
            DECODER: Part(kind=type(self._vae).__name__, config=_config(self._vae), given=[latents]),
        }

    def finish(self) -> None:
        """Takes what was converted into use, if it is sound and pays. Raises Differs, or what loading raises."""
        folder, worth = self._wanted.folder, self._wanted.worth
        known = files.find(folder)
        try:
            threads = [known.threads] if known else _candidates(self._unet, self._wanted.threads_max)
            unets = {count: self._network(UNET, count) for count in threads}
            decoder = self._network(DECODER, threads[0])
            self._check(unets[threads[0]])
            self._check_decoder(decoder)
        except (MemoryError, BrokenModel):
            raise
        except Exception:  # OpenVINO has no names for damaged files
            files.drop(folder)
            raise
        found = known if known and known.holds else self._measured(unets, known)
        files.keep(folder, found)
        files.touch(folder)
        if worth is not None and found.share > worth:
            files.drop(folder)
            _log.info("OpenVINO is no faster here (%.2f of torch's time), and is not used", found.share)
            return
        if found.threads != decoder.threads:
            decoder = self._network(DECODER, found.threads)
        self._found = found
        self._networks = {UNET: unets[found.threads], DECODER: decoder}
        _log.info("%s", found.sentence)

    def give_up(self, why: str) -> None:
        """Notes for later starts that it did not come to be used."""
        files.give_up(self._wanted.folder, why)

    def let_go(self) -> None:
        """Torch's networks are not compared with any more; what a LoRA made of one takes memory of its own."""
        del self._unet, self._vae

    def _network(self, name: str, threads: int) -> Network:
        is_half = self._like.latents.dtype is torch.bfloat16
        return Network(self._wanted.folder / f"{name}.xml", threads=threads, bfloat16=is_half)

    # -------------------------------------------------------------- tried out

    @torch.inference_mode()
    def _check(self, network: Network) -> None:
        """Raises Differs if it does not predict what torch does."""
        batch = noise(self._like, 2)
        _compare(network(*batch.given), forward(self._unet, batch))

    @torch.inference_mode()
    def _check_decoder(self, network: Network) -> None:
        side = 2 * SIDES_AT_LEAST * self._halvings
        channels, generator = self._vae.config.latent_channels, torch.Generator("cpu").manual_seed(0)
        latents = torch.randn((1, channels, side, side), generator=generator).to(self._vae.dtype)
        _compare(network(latents), self._vae.decode(latents, return_dict=False)[0])

    @torch.inference_mode()
    def _measured(self, unets: dict[int, Network], known: Findings | None) -> Findings:
        """By turns, and each by its best turn: others draw meanwhile. What bits depend on stays as it was `known`."""
        pair = noise(self._like, 2)
        acts: dict[int, Callable[[], Tensor]] = {
            count: partial(network, *pair.given) for count, network in unets.items()
        }
        acts[0] = partial(forward, self._unet, pair)
        best, enough = dict.fromkeys(acts, float("inf")), time.monotonic() + _TURNS_S
        for turn in range(_TURNS):
            if turn and time.monotonic() > enough:
                break
            for count, act in acts.items():
                best[count] = min(best[count], timed(act))
        threads = min(unets, key=best.__getitem__)
        measured = measure(lambda rows: unets[threads](*noise(self._like, rows).given))
        return Findings(
            share=best[threads] / best[0],
            threads=threads,
            rows=known.rows if known else measured.knee,
            costs=measured,
            at=time.time(),
        )


class Differs(Exception):
    """What was converted computes something else."""


def _work(runtime: weakref.ref[OpenVino]) -> None:
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
        _log.warning("OpenVINO can't compute this model, and torch draws on: %s", why)
        if (one := runtime()) is not None:
            one.give_up(why)
    finally:
        if (one := runtime()) is not None:
            one.let_go()


def _first_line(error: Exception) -> str:
    return [*str(error).strip().splitlines(), type(error).__name__][0]


def _candidates(unet: Any, most: int) -> list[int]:
    """Numbers of threads that are tried, up to so many."""
    numbers = sum(weight.numel() for weight in unet.parameters())
    return [most] if numbers >= _LARGE else sorted({1, min(2, most), most})


def _compare(found: Tensor, expected: Tensor) -> None:
    apart = (found.float() - expected.float()).abs().mean()
    like = _LIKE if expected.dtype is torch.float32 else _LIKE_HALF
    if not apart <= like * expected.float().abs().mean():
        raise Differs(f"its numbers are off by {apart:.2g}")


def _twin(module: Any) -> Any:
    """Layers of its own around the very same weights."""
    module.requires_grad_(False)  # as LoRAs leave it, which share these weights
    kept = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    return copy.deepcopy(module, kept)


def _config(module: Any) -> dict[str, Any]:
    return {name: value for name, value in module.config.items() if name != "_name_or_path"}


def _look(rows: Rows) -> tuple[Any, ...]:
    """What is the same for all rows of a model: all but sides and tokens."""
    sizes = (
        (rows.latents.shape[1],),
        (),
        (rows.embeddings.shape[-1],),
        *(None if part is None else tuple(part.shape[1:]) for part in rows.parts[3:]),
    )
    return *sizes, rows.latents.dtype
