"""The link to one engine in a Ray cluster: a process that stands where the engine's would, and ends as that ends.

It takes the same controls and tells the same events as an engine beside the bot, so that nobody in the bot knows the
difference, and nothing that comes from the cluster is ever read as code by the bot. Ray is loaded here alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from engine import codec
from engine.child import Controls, Leave, heed, wait
from engine.cluster.edition import edition
from engine.cluster.remote_engine import RemoteEngine
from engine.cluster.told import Ended, Told
from engine.contract import (
    EXIT_BROKEN,
    EXIT_HOST_LOST,
    EXIT_OK,
    Broken,
    ClusterSettings,
    Control,
    EngineSettings,
    Event,
    Failed,
    Finished,
    Loading,
    Ready,
    Shutdown,
    SpooledImage,
    Submit,
)
from engine.pictures import inputs, spool

LOST_S = 4.0
"""A host that has not even said for so long that there is nothing to say is lost."""
STARTED_WITHIN_S = 60.0
TRIED_EVERY_S = 5.0
LOOK_S = 1.0
REACHED_WITHIN_S = 3.0
NO_RAY = "fleet = \"ray\" needs Ray: install Easel's extra for it, pip install 'easel-imagine[fleet]'."
Emit = Callable[[Event], None]


class Unfit(Exception):
    """What only a person can change; its text is a sentence."""


class HostLost(Exception):
    """Nothing is heard any more of the host on which the engine ran."""


def run(settings: EngineSettings, controls: Controls, emit: Emit) -> int:
    """The link's life in its process; returns the exit code, but for an engine that a signal ended: then one ends it too."""
    assert settings.cluster is not None
    say = quietly()
    try:
        code = _Link(settings, settings.cluster, controls, emit, say).run(loaded_ray())
    except Unfit as problem:
        emit(Broken(reason=str(problem)))
        code = EXIT_BROKEN
    except Leave:
        code = EXIT_OK
    except HostLost as problem:
        say(str(problem))
        code = EXIT_HOST_LOST
    except Exception as error:  # noqa: BLE001 - whatever Ray raises besides, its words would go nowhere
        say(f"The link into the cluster failed ({_brief(error)}).")
        code = EXIT_HOST_LOST
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL can't be handled anyhow
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    # Ray takes its time for an orderly end, and ends at once what belonged to a process that is gone.
    os._exit(code)


def loaded_ray() -> Any:
    try:
        return import_module("ray")
    except ImportError:
        raise Unfit(NO_RAY) from None


def quietly() -> Callable[[str], None]:
    """Ray's own words, which are many, go nowhere from now on; what is returned speaks on the bot's standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return lambda sentence: print(f"easel engine: {sentence}", file=own)


def joined(ray: Any, address: str, namespace: str) -> str:
    """Joins the cluster; what is wrong with it, if that may pass, else "". Raises Unfit."""
    problem = _unreachable(address)
    if problem:
        return problem
    try:
        ray.init(address=address, namespace=namespace, log_to_driver=False, configure_logging=False)
    except Exception as error:  # noqa: BLE001 - Ray says what is wrong by many kinds of errors
        return _judged(error, address)
    return ""


class _Link:
    def __init__(
        self,
        settings: EngineSettings,
        own: ClusterSettings,
        controls: Controls,
        emit: Emit,
        say: Callable[[str], None],
    ) -> None:
        self._settings, self._own, self._controls, self._emit, self._say = settings, own, controls, emit, say
        self._host = ""
        self._folder = Path()

    def run(self, ray: Any) -> int:
        self._connect(ray)
        self._end_orphans(ray)
        uses_card = self._uses_card(ray)
        actor = self._new_actor(ray, uses_card=uses_card)
        self._check(*self._wait_for_place(ray, actor, uses_card=uses_card))
        try:
            self._folder = Path(
                ray.get(actor.start.remote(self._settings, uses_card), timeout=STARTED_WITHIN_S)
            )
        except (ray.exceptions.RayError, ray.exceptions.GetTimeoutError) as error:
            raise HostLost(f"An engine could not be started on {self._host} ({_brief(error)}).") from error
        threading.Thread(target=self._pass_controls, args=(ray, actor), daemon=True).start()
        return self._pass_events(ray, actor)

    # -------------------------------------------------------------- into the cluster

    def _connect(self, ray: Any) -> None:
        """Waits for the cluster for as long as it takes. Raises Unfit, and Leave when told to go meanwhile."""
        said = ""
        while problem := joined(ray, self._own.address, self._own.namespace):
            if problem != said:
                self._say(problem)
                said = problem
            self._emit(Loading(stage=f"{problem.rstrip('.')}; trying again every {TRIED_EVERY_S:.0f} s"))
            wait(TRIED_EVERY_S, self._controls)

    def _end_orphans(self, ray: Any) -> None:
        """What an earlier link of this engine has left: nobody owns it any more."""
        for name in ray.util.list_named_actors():
            if name.startswith(self._prefix):
                with contextlib.suppress(ValueError):  # it has ended meanwhile
                    ray.kill(ray.get_actor(name), no_restart=True)

    @property
    def _prefix(self) -> str:
        return f"engine-{self._own.number}-"

    def _uses_card(self, ray: Any) -> bool:
        device = self._settings.device
        return device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)

    def _new_actor(self, ray: Any, *, uses_card: bool) -> Any:
        place = {"num_gpus": 1, "num_cpus": 0} if uses_card else {"num_cpus": 1}
        return (
            ray.remote(RemoteEngine)
            .options(
                name=f"{self._prefix}{uuid.uuid4().hex[:8]}",
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
                **place,
            )
            .remote()
        )

    def _wait_for_place(self, ray: Any, actor: Any, *, uses_card: bool) -> tuple[str, str]:
        """Which Easel the host has that has room, and its name."""
        answer = actor.who.remote()
        what = "GPU" if uses_card else "processor"
        while not ray.wait([answer], timeout=LOOK_S)[0]:
            heed(self._controls)
            self._emit(Loading(stage=f"waiting for a host of the cluster with a free {what}"))
        try:
            return ray.get(answer)
        except ray.exceptions.RayActorError as error:
            if "import" in str(error) or "No module" in str(error):
                raise Unfit("A host of the cluster has no Easel: install the bot's version there.") from None
            raise HostLost(f"A host of the cluster was lost ({_brief(error)}).") from error

    def _check(self, there: str, host: str) -> None:
        self._host = host
        if there != edition():
            raise Unfit(f"Easel on {self._host} is not the bot's version: install the same one there.")

    # -------------------------------------------------------------- controls

    def _pass_controls(self, ray: Any, actor: Any) -> None:
        """One after the other: each is taken before the next one is sent."""
        control: Control | None = None
        while not isinstance(control, Shutdown):
            try:
                control = self._controls.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            with contextlib.suppress(ray.exceptions.RayError):  # it is lost, as fetching will find
                ray.get(actor.send.remote(control, self._files_for(control)))

    def _files_for(self, control: Control) -> dict[str, bytes]:
        if not isinstance(control, Submit):
            return {}
        folder, found = Path(self._settings.spool) / inputs.FOLDER, dict[str, bytes]()
        for digest in control.request.inputs:
            with contextlib.suppress(OSError):  # the engine misses it, and says so
                found[digest] = (folder / digest).read_bytes()
        return found

    # -------------------------------------------------------------- events

    def _pass_events(self, ray: Any, actor: Any) -> int:
        """Until the engine has ended. Raises HostLost."""
        last = 0
        while True:
            try:
                told: list[Told] | Ended = ray.get(actor.fetch.remote(last), timeout=LOST_S)
            except ray.exceptions.GetTimeoutError:
                raise HostLost(f"Nothing is heard any more of {self._host}.") from None
            except ray.exceptions.RayActorError as error:
                raise HostLost(f"The engine's actor on {self._host} is gone ({_brief(error)}).") from error
            except ray.exceptions.RayError as error:  # as where the object store is full
                self._say(
                    f"Finished pictures can't come from {self._host} yet ({_brief(error)}): the cluster's object store "
                    "may be full."
                )
                time.sleep(LOOK_S)
                continue
            if isinstance(told, Ended):
                return EXIT_HOST_LOST if told.exitcode is None else told.exitcode
            for each in told:
                self._emit(self._received(each))
                last = each.number

    def _received(self, told: Told) -> Event:
        """The event as it is beside the bot: pictures lie in its spool, and it says on which host it was."""
        event, files = codec.decode(told.event, self._folder), dict(told.files)
        match event:
            case Ready():
                return replace(event, device=f"{event.device} on {self._host}")
            case Finished():
                try:
                    return replace(event, images=tuple(self._stored(image, files) for image in event.images))
                except OSError as error:
                    reason = spool.NO_ROOM.format(reason=error.strerror)
                    return Failed(job_id=event.job_id, attempt=event.attempt, reason=reason)
            case _:
                return event

    def _stored(self, image: SpooledImage, files: dict[str, bytes]) -> SpooledImage:
        lies = image.path or image.aside
        if lies is None:
            return image
        name = Path(lies).name
        data = files.get(name, b"")
        if hashlib.sha256(data).hexdigest() != image.sha256:
            raise HostLost(f"A picture came damaged from {self._host}.")
        path, _ = spool.write(Path(self._settings.spool), name, data)
        return replace(image, path=str(path)) if image.path else replace(image, aside=str(path))


# ------------------------------------------------------------------ what is wrong, as a sentence


def _unreachable(address: str) -> str:
    """Why nobody answers there, "" where somebody does: Ray itself would take minutes to find out."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN_S).close()
    except (OSError, ValueError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"The cluster at {address} can't be reached ({reason})."
    return ""


def _judged(error: Exception, address: str) -> str:
    """What may pass. Raises Unfit for what can't."""
    text = str(error)
    if "mismatch" in text.lower():
        raise Unfit(
            f"The cluster at {address} runs another Ray or another Python than this host: install the same versions on all."
        ) from error
    if "uthentication" in text or "token" in text.lower():
        raise Unfit(
            f"The cluster at {address} wants a token that this host does not have: set RAY_AUTH_MODE and RAY_AUTH_TOKEN."
        ) from error
    if "node" in text.lower():
        return f"This host is no node of the cluster at {address}: run “ray start --address={address}” here."
    return f"The cluster at {address} does not take this host ({_brief(error)})."


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{f': {lines[0][:200]}' if lines else ''}"
