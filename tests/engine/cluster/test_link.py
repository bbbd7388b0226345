"""A link to an engine in a cluster, with a cluster in this process: what crosses, what is lost, and what is told of it."""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine import codec
from engine.child import Leave
from engine.cluster import link, remote_engine
from engine.cluster.edition import edition
from engine.contract import (
    ClusterSettings,
    Control,
    EngineSettings,
    Event,
    Failed,
    FakeSettings,
    Finished,
    Loading,
    Ready,
    Shutdown,
    Started,
    Stepped,
    Submit,
)
from engine.pictures import inputs, spool
from tests.kit.fake_ray import FakeRay, ObjectStoreFullError, RayActorError
from workshop.rehearsal.bot import png
from workshop.rehearsal.props import picture


class Bench:
    """A link whose end is noted, the bot's side of it, and the cluster."""

    def __init__(self, folder: Path, ray: FakeRay, address: str) -> None:
        self.ray, self.spool = ray, folder / "spool"
        self.spool.mkdir()
        self.controls: queue.Queue[Control] = queue.Queue()
        self.events: list[Event] = []
        self.said: list[str] = []
        self.settings = EngineSettings(
            model="fake",
            spool=str(self.spool),
            fake=FakeSettings(step_s=0.001),
            cluster=ClusterSettings(address=address, namespace=f"easel-test-{folder.name}", number=2),
        )
        self.when: Callable[[Event], None] = lambda _event: None
        """Called with each event, in the moment in which it is told."""

    def run(self) -> int:
        assert self.settings.cluster is not None
        return link._Link(
            self.settings, self.settings.cluster, self.controls, self._hear, self.said.append
        ).run(self.ray)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self.when(event)

    def submit(self, job: int = 1, **values: Any) -> None:
        self.controls.put(Submit(job_id=job, attempt=1, request=picture(**values)))

    def leave_when(self, kind: type[Event]) -> None:
        def look(event: Event) -> None:
            if isinstance(event, kind):
                self.controls.put(Shutdown())

        self.when = look

    @property
    def finished(self) -> list[Finished]:
        return [event for event in self.events if isinstance(event, Finished)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Bench]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(link, "LOST_S", 2.0)
    ray = FakeRay()
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Bench(tmp_path, ray, f"127.0.0.1:{server.getsockname()[1]}")
    ray.close()


def test_a_picture_and_what_it_starts_from_cross(bench: Bench, tmp_path: Path) -> None:
    """It lies in the bot's spool as it was drawn, the host keeps nothing of it, and Ready says which host that is."""
    digest = inputs.keep(bench.spool / inputs.FOLDER, png(64, 64))
    bench.submit(image=digest, strength=0.5)
    bench.leave_when(Finished)
    assert bench.run() == 0
    (image,) = bench.finished[0].images
    path = bench.spool / spool.file_name(1, 1, 0)
    assert image.path == str(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == image.sha256
    assert any(isinstance(event, Stepped) for event in bench.events)
    ready = next(event for event in bench.events if isinstance(event, Ready))
    assert ready.device.endswith(f" on {socket.gethostname()}")
    assert not [*tmp_path.rglob("pictures-*")]


def test_another_picture_alone_is_no_reason_to_keep_an_input(bench: Bench, tmp_path: Path) -> None:
    """What a job starts from leaves its host with the last job that does."""
    digest = inputs.keep(bench.spool / inputs.FOLDER, png(64, 64))
    bench.submit(1, image=digest, strength=0.5)
    left: list[list[str]] = []

    def look(event: Event) -> None:
        if isinstance(event, Finished) and event.job_id == 1:
            bench.submit(2)
        elif isinstance(event, Finished):
            (host,) = tmp_path.rglob("pictures-*")
            left.append([path.name for path in (host / inputs.FOLDER).iterdir()])
            bench.controls.put(Shutdown())

    bench.when = look
    assert bench.run() == 0
    assert left == [[]]


@pytest.mark.skipif(os.name == "nt", reason="no limits of a process there")
async def test_an_input_of_two_jobs_is_whole_while_the_second_brings_it_again(bench: Bench) -> None:
    """The first may be reading it: it is replaced in one step, or left as it is where the disk is full."""
    import resource

    data = png(64, 64)
    digest = hashlib.sha256(data).hexdigest()
    request = picture(image=digest, strength=0.5)
    host = remote_engine.RemoteEngine()
    folder = await host.start(bench.settings, uses_card=False)
    await host.send(Submit(job_id=1, attempt=1, request=request), {digest: data})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (16, limits[1])
    )  # fails after the first bytes, as a full disk does
    try:
        await host.send(Submit(job_id=2, attempt=1, request=request), {digest: data})
        assert (Path(folder) / inputs.FOLDER / digest).read_bytes() == data
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    done, last = dict[int, Event](), 0
    while len(done) < 2:
        told = await host.fetch(last)
        assert isinstance(told, list), told
        for each in told:
            event, last = codec.decode(each.event, Path(folder)), each.number
            if isinstance(event, Finished | Failed):
                done[event.job_id] = event
    await host.send(Shutdown(), {})
    while isinstance(await host.fetch(last), list):
        pass
    assert all(isinstance(event, Finished) for event in done.values()), done


def test_a_full_object_store_delays_and_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told but not received is told again, once, and the operator reads why it takes long."""
    monkeypatch.setattr(link, "LOOK_S", 0.01)
    bench.submit()

    def look(event: Event) -> None:
        if isinstance(event, Started):
            bench.ray.actors[0].faults["fetch"] = [ObjectStoreFullError("no room")] * 3
        elif isinstance(event, Finished):
            bench.controls.put(Shutdown())

    bench.when = look
    assert bench.run() == 0
    steps = [
        event.step for event in bench.events if isinstance(event, Stepped) and event.stage == "denoising"
    ]
    assert steps == sorted(set(steps)) and steps[-1] == 20
    assert len(bench.finished) == 1
    assert len(bench.said) == 3
    assert "object store may be full" in bench.said[0]


def test_a_picture_that_came_damaged_is_not_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are not those that the engine told of: the engine counts as lost, so that it is drawn anew."""
    whole = remote_engine.RemoteEngine._files_of
    monkeypatch.setattr(
        remote_engine.RemoteEngine,
        "_files_of",
        lambda self, event: tuple((name, data[:-1]) for name, data in whole(self, event)),
    )
    bench.submit()
    with pytest.raises(link.HostLost, match="damaged"):
        bench.run()
    assert not bench.finished
    assert [path.name for path in bench.spool.iterdir()] == []


def test_a_full_disk_of_the_bot_costs_one_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the engine runs beside it; the link goes on."""

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(link.spool, "write", full)
    bench.submit()
    bench.leave_when(Failed)
    assert bench.run() == 0
    (failed,) = (event for event in bench.events if isinstance(event, Failed))
    assert "could not be saved (No space left on device)" in failed.reason


@pytest.mark.parametrize("how", ["silent", "dead"])
def test_a_host_that_is_lost_is_noticed(bench: Bench, how: str) -> None:
    """One that says nothing, not even that there is nothing to say, and one whose actor is known to be dead."""

    def look(event: Event) -> None:
        if isinstance(event, Ready) and how == "silent":
            bench.ray.actors[0].is_silent = True
        elif isinstance(event, Ready):
            bench.ray.actors[0].faults["fetch"] = [RayActorError("its node died")]

    bench.when = look
    told = "Nothing is heard any more" if how == "silent" else "is gone .*its node died"
    with pytest.raises(link.HostLost, match=told):
        bench.run()


def test_an_engine_that_is_ended_by_a_signal_says_so(bench: Bench) -> None:
    """The link ends as its engine did, so that the bot's words and reckonings are the same."""
    bench.submit(prompt="CRASH")
    assert bench.run() == -9


def test_what_an_earlier_link_left_is_ended_and_others_stay(bench: Bench) -> None:
    """An actor of this engine that nobody owns any more; those of the bot's other engines are theirs."""
    bench.ray.left_behind = ["engine-2-aaaa", "engine-1-bbbb", "engine-22-cccc"]
    bench.leave_when(Ready)
    assert bench.run() == 0
    assert bench.ray.killed == ["engine-2-aaaa"]
    assert bench.ray.joined["namespace"] == bench.settings.cluster.namespace  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("device", "resources", "place"),
    [
        ("auto", {"CPU": 4}, {"num_cpus": 1}),
        ("auto", {"CPU": 4, "GPU": 2}, {"num_gpus": 1, "num_cpus": 0}),
        ("cpu", {"CPU": 4, "GPU": 2}, {"num_cpus": 1}),
    ],
)
def test_each_engine_asks_for_one_place(
    bench: Bench, device: str, resources: dict[str, float], place: dict[str, int]
) -> None:
    """A whole card where there are any, else a processor; it is never restarted by Ray, which knows no jobs."""
    bench.settings = replace(bench.settings, device=device)
    bench.ray.resources = resources
    bench.leave_when(Ready)
    assert bench.run() == 0
    options = bench.ray.actors[0].options
    assert {key: options[key] for key in options if key.startswith("num_")} == place
    assert (options["max_restarts"], options["max_task_retries"]) == (0, 0)


def test_an_engine_without_a_place_waits_for_one(bench: Bench) -> None:
    """It says so, and leaves when it is told to."""
    bench.ray.has_room = False
    bench.leave_when(Loading)
    with pytest.raises(Leave):
        bench.run()
    assert {event.stage for event in bench.events if isinstance(event, Loading)} == {
        "waiting for a host of the cluster with a free processor"
    }


def test_another_easel_on_a_host_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent there that it might not understand."""
    monkeypatch.setattr(remote_engine, "edition", lambda: "another")
    assert edition() != "another"
    with pytest.raises(link.Unfit, match="is not the bot's version: install the same one there"):
        bench.run()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("Version mismatch: The cluster was started with: Ray: 2.9"),
            "runs another Ray or another Python",
        ),
        (RuntimeError("Unauthenticated: InvalidAuthToken"), "wants a token"),
    ],
)
def test_what_only_a_person_can_change_is_said_once(bench: Bench, error: Exception, sentence: str) -> None:
    """Another version, or a token that is missing: trying again would not help."""
    bench.ray.refuses = error
    with pytest.raises(link.Unfit, match=sentence):
        bench.run()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [("127.0.0.1:1", "can't be reached (Connection refused)"), (None, "This host is no node of the cluster")],
)
def test_a_cluster_that_may_come_is_waited_for(bench: Bench, address: str | None, sentence: str) -> None:
    """Nobody answers at its address, or this host has not joined it yet."""
    assert bench.settings.cluster is not None
    if address is not None:
        bench.settings = replace(bench.settings, cluster=replace(bench.settings.cluster, address=address))
    bench.ray.refuses = ConnectionError("Can't find a node_ip_address.json")
    bench.leave_when(Loading)
    with pytest.raises(Leave):
        bench.run()
    (loading,) = bench.events
    assert isinstance(loading, Loading)
    assert sentence in loading.stage
    assert sentence in bench.said[0]


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where somebody sets fleet = "ray" and no more."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(link, "import_module", missing)
    with pytest.raises(link.Unfit, match=r"pip install 'easel-imagine\[fleet\]'"):
        link.loaded_ray()


def test_controls_arrive_in_their_order(bench: Bench) -> None:
    """A job's end by its person never overtakes its beginning."""
    seen: list[int] = []
    lock = threading.Lock()
    whole = remote_engine.RemoteEngine.send

    async def send(self: Any, control: Control, files: Any) -> None:
        with lock:
            seen.append(getattr(control, "job_id", 0))
        await whole(self, control, files)

    for job in range(1, 6):
        bench.submit(job)
    bench.controls.put(Shutdown())
    remote_engine.RemoteEngine.send, before = send, remote_engine.RemoteEngine.send  # type: ignore[method-assign]
    try:
        assert bench.run() == 0
    finally:
        remote_engine.RemoteEngine.send = before  # type: ignore[method-assign]
    assert seen == [1, 2, 3, 4, 5, 0]
