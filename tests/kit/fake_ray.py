"""What `engine.cluster` asks of Ray, in this process: actors on a thread, their death, silence and full memory on request."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class GetTimeoutError(RayError, TimeoutError):
    pass


class RayActorError(RayError):
    pass


class ObjectStoreFullError(RayError):
    pass


class FakeRay:
    """One cluster. `faults` names what the next calls of a method meet, in order."""

    exceptions = SimpleNamespace(
        RayError=RayError, GetTimeoutError=GetTimeoutError, RayActorError=RayActorError
    )

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.joined: dict[str, Any] = {}
        self.has_room = True
        self.resources: dict[str, float] = {"CPU": 4}
        self.left_behind: list[str] = []
        """Names of actors that nobody owns."""
        self.killed: list[str] = []
        self.actors: list[FakeActor] = []
        self.util = SimpleNamespace(list_named_actors=lambda: list(self.left_behind))
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for actor in self.actors:
            if (process := actor.its._process) is not None:
                process.kill()
        asyncio.run_coroutine_threadsafe(_end_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    # -------------------------------------------------------------- as Ray has them

    def init(self, **told: Any) -> None:
        self.joined = told
        if self.refuses is not None:
            raise self.refuses

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_actor(self, name: str) -> str:
        return name

    def kill(self, name: str, *, no_restart: bool) -> None:
        assert no_restart
        self.killed.append(name)

    def remote(self, kind: type[Any]) -> Any:
        def options(**told: Any) -> Any:
            def new() -> FakeActor:
                self.actors.append(FakeActor(self, kind, told))
                return self.actors[-1]

            return SimpleNamespace(remote=new)

        return SimpleNamespace(options=options)

    def wait(self, refs: list[Any], *, timeout: float) -> tuple[list[Any], list[Any]]:
        return (refs, []) if self.has_room else ([], refs)

    def get(self, ref: Any, *, timeout: float | None = None) -> Any:
        try:
            return pickle.loads(pickle.dumps(ref.result(timeout)))
        except concurrent.futures.TimeoutError:
            raise GetTimeoutError from None


async def _end_all() -> None:
    """Of what is still waited for, but us."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class FakeActor:
    def __init__(self, ray: FakeRay, kind: type[Any], options: dict[str, Any]) -> None:
        self.options = options
        self.its = kind()
        self.faults: dict[str, list[Exception]] = {}
        self.is_silent = False
        self._ray = ray

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *told: self._call(name, told))

    def _call(self, name: str, told: tuple[Any, ...]) -> Any:
        async def call() -> Any:
            answer = await getattr(self.its, name)(*pickle.loads(pickle.dumps(told)))
            if self.is_silent:
                await asyncio.sleep(3600)
            if faults := self.faults.get(name):  # the answer is lost on its way
                raise faults.pop(0)
            return answer

        return asyncio.run_coroutine_threadsafe(call(), self._ray.loop)
