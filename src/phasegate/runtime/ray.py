"""Executes phases with ``runs_on="ray"`` as tasks on a Ray cluster. The only file that names Ray.

The run, its lease, its facts and its gates stay with the worker; a task is one call of the phase's function. Ray's own
retries are off: a task that vanished is a lost attempt, and the engine repeats it by the phase's policy. A task is a
generator, so that it can tell the worker when it begins, and of its heartbeats, before it ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from queue import SimpleQueue
from time import monotonic, sleep
from typing import Any

from phasegate.core.flow import Phase
from phasegate.errors import Fatal, Snooze
from phasegate.runtime.calls import Beat, Ended, Line, pack, unpack
from phasegate.runtime.context import Context, Lost, Stopped
from phasegate.runtime.log import announce
from phasegate.runtime.remote import converse

#: Seconds a cluster has for an answer before phases that need it are put off.
PATIENCE = 20.0
#: Seconds until a cluster that did not answer is asked again: the first time, doubled each time, and at most.
AGAIN, AT_MOST = 5.0, 300.0
#: Seconds that a function which is told to stop has before its process is killed.
GRACE = 5.0

#: Ray allows a process one connection, which its workers share: who uses it, and who keeps it when it is ours.
_sharing = threading.Lock()
_sharers: set[Cluster] = set()
_keeper: _Keeper | None = None


class Cluster:
    """The Ray cluster of a worker: connected on first need and off the event loop; a local one is started without an address.

    A connection that the program has made by itself is used, and left as it is.
    """

    def __init__(self, address: str | None, now: Callable[[], datetime], deps: Any) -> None:
        self._address, self._now, self._deps = address, now, deps
        self._joining: Future[_Connection] | None = None
        self._left = False
        self._trouble = ""
        self._again: datetime | None = None
        self._tries = 0

    async def begin(self, phase: Phase, contexts: Sequence[Context]) -> Task:
        """Send the call of a phase's function and wait until it begins.

        Raises ``Snooze`` when there is no cluster, ``Fatal`` when the function cannot be sent, ``Lost`` when the task
        vanished before it began.
        """
        task = Task(await self._connected(), phase, contexts)
        await task.begin()
        return task

    def leave(self) -> None:
        """Let go of the cluster; a local one that nobody else in this process uses is stopped, with what runs on it."""
        self._left = True
        if self._joining is not None and self._joining.done():
            self._let_go(self._joining)

    async def _connected(self) -> _Connection:
        if self._again is not None and self._now() < self._again:
            raise Snooze(self._again, self._trouble)
        if self._joining is None or (self._joining.done() and not _is_up(self._joining)):
            self._joining = Future()
            threading.Thread(target=self._join, args=(self._joining,), name="phasegate-ray", daemon=True).start()
        try:
            # Shielded: whoever gives up waiting must not take the connection from the others.
            async with asyncio.timeout(PATIENCE):
                connection: _Connection = await asyncio.shield(asyncio.wrap_future(self._joining))
        except Exception as error:
            raise self._put_off(error) from None
        self._again, self._tries = None, 0
        return connection

    def _put_off(self, error: Exception) -> Snooze:
        """The phase has to wait; of many that do, one says so."""
        if self._again is None or self._again <= self._now():
            self._trouble = self._explained(error)
            self._again = self._now() + timedelta(seconds=min(AT_MOST, AGAIN * 2 ** min(self._tries, 10)))
            self._tries += 1
            announce("ray.trouble", message=self._trouble, again=self._again.isoformat(timespec="seconds"))
        return Snooze(self._again, self._trouble)

    def _explained(self, error: Exception) -> str:
        if isinstance(error, ImportError):
            return f"Ray is not installed in the worker's environment ({error}): pip install 'phasegate[ray]'"
        said = f"no answer in {PATIENCE:g} seconds" if isinstance(error, TimeoutError) else str(error)
        if self._address is None:
            return f"a local Ray could not be started ({said}): set PHASEGATE_RAY_ADDRESS to use a cluster"
        return f"no Ray cluster answers at {self._address} ({said}): correct PHASEGATE_RAY_ADDRESS or start the cluster"

    def _join(self, joining: Future[_Connection]) -> None:
        try:
            joining.set_result(_join(self, self._address, self._deps))
        except BaseException as error:  # whatever Ray raises: somebody waits for the answer
            joining.set_exception(RuntimeError(repr(error)) if isinstance(error, SystemExit) else error)
        if self._left:
            self._let_go(joining)

    def _let_go(self, joining: Future[_Connection]) -> None:
        if joining.exception() is None:
            joining.result().close()
            _leave(self)


# --- the connection -------------------------------------------------------------------------------------------------


def _join(cluster: Cluster, address: str | None, deps: Any) -> _Connection:
    global _keeper  # noqa: PLW0603  # there is one per process
    import ray

    with _sharing:
        if not ray.is_initialized():
            if address is not None:
                _knock(address)
            _sharers.clear()
            _keeper = _Keeper(ray, address)
        _sharers.add(cluster)
    return _Connection(ray, deps)


def _knock(address: str) -> None:
    """Raise ``OSError`` when nobody listens there: Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=PATIENCE / 4).close()


def _leave(cluster: Cluster) -> None:
    global _keeper  # noqa: PLW0603  # there is one per process
    with _sharing:
        _sharers.discard(cluster)
        if not _sharers and _keeper is not None:
            _keeper.end()
            _keeper = None


class _Keeper:
    """A connection of our own, made and ended by one thread that lives as long: on Linux the processes of a local Ray are
    killed when the thread that has started them ends. Raises what Ray raises when there can be none."""

    def __init__(self, ray: Any, address: str | None) -> None:
        self._up: Future[None] = Future()
        self._unused = threading.Event()
        self._thread = threading.Thread(target=self._keep, args=(ray, address), name="phasegate-ray-keep", daemon=True)
        self._thread.start()
        self._up.result()

    def _keep(self, ray: Any, address: str | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # who runs a phase has not asked to be counted
        local = {} if address else {"include_dashboard": False}
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **local)
        except BaseException as error:  # whatever Ray raises: somebody waits for the answer
            self._up.set_exception(error)
            return
        self._up.set_result(None)
        self._unused.wait()
        ray.shutdown()

    def end(self) -> None:
        self._unused.set()
        self._thread.join()


def _is_up(joining: Future[_Connection]) -> bool:
    return joining.exception() is None and bool(joining.result().ray.is_initialized())


def _work(call: bytes, deps: list[Any]) -> Iterator[bytes]:
    """What Ray executes. ``deps`` is the reference to the registry's shared objects, in a list so that Ray does not fetch what
    the function may never ask for; or the reason why there is none."""
    import ray
    from ray import cloudpickle

    def fetch() -> Any:
        if isinstance(deps[0], str):
            raise Fatal(deps[0])
        return cloudpickle.loads(ray.get(deps[0]))

    yield from converse(call, fetch, cloudpickle)


class _Connection:
    """Ray as this process is connected to it, and what was sent there once for all."""

    def __init__(self, ray: Any, deps: Any) -> None:
        from ray import cloudpickle

        self.ray, self.pickler = ray, cloudpickle
        self._work = ray.remote(max_retries=0, num_returns="streaming")(_work)
        self._deps = [self._sent(deps)]
        self._asked: set[str] = set()
        self._using, self._open = threading.Lock(), True
        self._cancelled: SimpleQueue[tuple[float, Any] | None] = SimpleQueue()
        threading.Thread(target=self._kill, name="phasegate-ray-kill", daemon=True).start()

    def submit(self, phase: Phase, contexts: Sequence[Context]) -> Any:
        """The stream of messages of a new task."""
        call = pack(phase.run, contexts, batch=phase.batch is not None, pickler=self.pickler)
        self._warn_if_impossible(phase)
        with self._using:
            if not self._open:
                raise Lost("the worker has let go of the cluster")
            return self._work.options(name=phase.name, **_options(phase.resources)).remote(call, self._deps)

    def cancel(self, stream: Any) -> None:
        """Tell the function to stop, and kill its process if it does not."""
        self._cancel(stream, force=False)
        self._cancelled.put((monotonic() + GRACE, stream))

    def close(self) -> None:
        """Ask nothing of Ray any more: without a connection it would start a cluster of its own. Tasks end with theirs."""
        with self._using:
            self._open = False
        self._cancelled.put(None)

    def _kill(self) -> None:
        while (cancelled := self._cancelled.get()) is not None:
            at, stream = cancelled
            sleep(max(0.0, at - monotonic()))
            self._cancel(stream, force=True)

    def _cancel(self, stream: Any, *, force: bool) -> None:
        with self._using, suppress(Exception):  # a cluster that does not answer has no tasks that could go on
            if self._open and self.ray.is_initialized():
                self.ray.cancel(stream, force=force)

    def _sent(self, deps: Any) -> Any:
        try:
            return self.ray.put(self.pickler.dumps(deps))
        except Exception as error:
            return (
                f"the registry's deps cannot be sent to Ray ({error}): what a phase with runs_on needs of them has to be "
                "picklable, or to be made in its function"
            )

    def _warn_if_impossible(self, phase: Phase) -> None:
        """A task that no node can ever take waits without a word: say it, once."""
        if phase.name in self._asked:
            return
        self._asked.add(phase.name)
        named = {"num_cpus": "CPU", "num_gpus": "GPU"}
        wanted = {named.get(name, name): amount for name, amount in ({"num_cpus": 1} | dict(phase.resources)).items()}
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
            announce("ray.trouble", phase=phase.name, message=f"no node has {wanted}: the phase waits until one joins")


def _options(resources: Mapping[str, float]) -> dict[str, Any]:
    """What a task asks for, sorted into Ray's own and the cluster's."""
    own = {name: amount for name, amount in resources.items() if name in ("num_cpus", "num_gpus", "memory")}
    others = {name: amount for name, amount in resources.items() if name not in own}
    return {"num_cpus": 1} | own | {"resources": others}


# --- one task -------------------------------------------------------------------------------------------------------


class Task:
    """One call under way. It is cancelled when all attempts it is for have been given up."""

    def __init__(self, connection: _Connection, phase: Phase, contexts: Sequence[Context]) -> None:
        self._connection, self._phase, self._contexts = connection, phase, contexts
        self._stream: Any = None
        for context in contexts:
            context.on_stop = self._cancel_if_unwanted

    async def begin(self) -> None:
        """Send it, and wait for its first message: the time it waits for a free place is not the function's own."""
        await asyncio.to_thread(self._submit)
        await self._message()

    async def result(self) -> Any:
        """What the function returned; raises what it raised, or ``Lost``."""
        while True:
            message = await self._message()
            if isinstance(message, Ended):
                return unpack(message, self._contexts, self._connection.pickler)
            self._pass_on(message)

    def _submit(self) -> None:
        self._stream = self._connection.submit(self._phase, self._contexts)
        self._cancel_if_unwanted()  # given up while it was being sent

    def _cancel_if_unwanted(self) -> None:
        if self._stream is not None and all(context.cancelled for context in self._contexts):
            self._connection.cancel(self._stream)

    async def _message(self) -> Any:
        ray = self._connection.ray
        try:
            return self._connection.pickler.loads(await (await anext(self._stream)))
        except StopAsyncIteration:
            raise Lost("its Ray task ended without an answer") from None
        except ray.exceptions.TaskCancelledError:
            raise Lost("its Ray task was cancelled") from None
        except ray.exceptions.RayTaskError as error:
            raise RuntimeError(
                f"the Ray task failed before it reached the function: {error}. phasegate, and the module of the function, "
                "must be installed in the same version on every node"
            ) from None
        except ray.exceptions.RayError as error:
            said = (str(error).strip() or "no reason given").splitlines()[0]
            raise Lost(f"its Ray task vanished: {type(error).__name__}: {said}") from None

    def _pass_on(self, message: Any) -> None:
        if isinstance(message, Line):
            getattr(self._contexts[0].services.log, message.level)(message.event, **message.values)
            return
        assert isinstance(message, Beat)
        context = self._contexts[message.member]
        with suppress(Stopped):  # whoever gave it up has told the task already
            if message.progress is not None:
                context.progress(*message.progress)
            else:
                context.heartbeat()
