"""One agent per tenant and kind, kept from task to task. No two tenants ever share one.

How many there are is bounded, and the memory of the process is watched: whoever has been idle longest makes room.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from threading import Lock
from typing import Any

from phasegate.apps.discovery.agents.memory import Watch, used_mb
from phasegate.apps.discovery.agents.protocol import Agent, AgentAnswer, AgentConfig, AgentTask, agent_config
from phasegate.apps.discovery.errors import AgentError

#: A client account and an engagement of it.
Tenant = tuple[str, str]

#: Seconds after which an agent that nobody wants anything of is dropped, and how often that is looked after.
IDLE, EVERY = 24 * 3_600.0, 1_800.0
#: Seconds for which an agent is spared even when memory is short: it was made for somebody who is about to use it.
SPARED = 60.0
#: Agents at most, and megabytes of the process above which those that are idle go.
MOST, MEMORY_MB = 100, 1_000.0

_log = logging.getLogger("phasegate.discovery")


def _now() -> datetime:
    return datetime.now(UTC)


class AgentPool:
    """Agents by tenant and kind, made when they are first asked for.

    Safe to use from several threads. Nothing runs in the background: the pool looks after idle agents, and after the memory of
    the process, when somebody asks it for an agent.
    """

    def __init__(
        self, make: Callable[[AgentConfig], Agent], clock: Callable[[], datetime] = _now, *, most: int = MOST,
        memory_limit_mb: float | None = MEMORY_MB, memory: Callable[[], float] = used_mb,
    ) -> None:  # fmt: skip
        """``make`` builds an agent, one at a time, and must not use the pool; ``clock`` tells the time, aware and in UTC.

        There are never more than ``most`` agents. While ``memory`` (megabytes of the process) is above ``memory_limit_mb`` there
        is an alarm, which is logged when it begins and ends, and agents that have been idle for a minute are dropped; None is no
        limit. Raises ``AgentError`` for limits that allow nothing.
        """
        if most < 1 or (memory_limit_mb is not None and not memory_limit_mb > 0):
            raise AgentError(f"most is {most} and memory_limit_mb {memory_limit_mb}; both must allow something")
        self._make, self._clock, self._most = make, clock, most
        self._lock = Lock()
        self._agents: dict[tuple[Tenant, str], _Counted] = {}
        self._counts: dict[Tenant, _Counts] = {}
        self._watch = Watch(memory_limit_mb, memory)
        self._looked_after = clock()

    def get(self, tenant_key: Tenant, agent_type: str) -> Agent:
        """The tenant's agent of that type, the same one each time.

        Raises ``AgentError`` without a tenant, for an unknown type, and when as many agents work as there may be; what ``make``
        raises passes, and nothing is kept.
        """
        tenant, config = _tenant(tenant_key), agent_config(agent_type)
        with self._lock:
            self._look_after()
            found = self._agents.get((tenant, agent_type)) or self._made(tenant, config)
            found.touch()
            return found

    def recreate(self, tenant_key: Tenant, agent_type: str) -> Agent:
        """A new agent in place of the one there may be. Whoever still holds the former one can finish with it."""
        tenant, config = _tenant(tenant_key), agent_config(agent_type)
        with self._lock:
            self._look_after()
            return self._made(tenant, config)

    def statistics(self, tenant_key: Tenant | None = None) -> dict[str, Any]:
        """``agents`` kept now; ``requests`` made of agents and ``errors`` they ended with, also of agents dropped since; and
        ``last_activity``, an aware time in UTC, or None when nothing has been asked yet. Of one tenant, or of all.

        About the process: ``memory_mb`` in use and ``memory_limit_mb``, both None where memory is not watched or cannot be told;
        ``memory_alarm``, whether the limit is exceeded now; and ``memory_alarms``, how often it was found to be.
        """
        tenant = None if tenant_key is None else _tenant(tenant_key)
        with self._lock:
            self._look_after()
            agents = sum(tenant in (None, key[0]) for key in self._agents)
            counts = [each for key, each in self._counts.items() if tenant in (None, key)]
            memory = self._watch.told()
        return {"agents": agents, **_summed(counts), **memory}

    def clean(self, idle_seconds: float) -> int:
        """Drop agents that nobody has asked for, or asked anything, for more than so many seconds, and say how many.

        One that is working stays.
        """
        with self._lock:
            return self._drop_idle(idle_seconds)

    # --- with the lock held ---

    def _made(self, tenant: Tenant, config: AgentConfig) -> _Counted:
        if (tenant, config.agent_type) not in self._agents and len(self._agents) >= self._most:
            self._make_room()
        counts = self._counts.setdefault(tenant, _Counts(Lock(), self._clock))
        found = self._agents[tenant, config.agent_type] = _Counted(self._make(config), counts)
        return found

    def _make_room(self) -> None:
        """Drop the agent that has been idle longest."""
        now = self._clock()
        key, agent = max(self._agents.items(), key=lambda each: each[1].idle_for(now))
        if agent.idle_for(now) < 0:
            hint = "wait until one has finished, or make the pool with a larger number"
            raise AgentError(f"all {self._most} agents that there may be are at work", hint=hint)
        del self._agents[key]

    def _look_after(self) -> None:
        now = self._clock()
        if (now - self._looked_after).total_seconds() >= EVERY:
            self._looked_after = now
            self._drop_idle(IDLE)
        changed = self._watch.look()
        dropped = self._drop_idle(SPARED) if self._watch.alarm else 0
        if changed:
            word, told = ("begins" if self._watch.alarm else "ends"), self._watch.told()
            _log.warning(
                "agents.memory_alarm %s memory_mb=%.0f limit_mb=%.0f dropped=%d kept=%d", word, told["memory_mb"],
                told["memory_limit_mb"], dropped, len(self._agents),
            )  # fmt: skip

    def _drop_idle(self, seconds: float) -> int:
        now = self._clock()
        idle = [key for key, agent in self._agents.items() if agent.idle_for(now) > seconds]
        for key in idle:
            del self._agents[key]
        return len(idle)


class _Counts:
    """What the agents of a tenant have been asked."""

    def __init__(self, lock: Lock, clock: Callable[[], datetime]) -> None:
        self._lock, self.clock = lock, clock
        self.requests, self.errors = 0, 0
        self.last_activity: datetime | None = None

    def add(self, *, requests: int = 0, errors: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.errors += errors
            self.last_activity = self.clock()

    def told(self) -> tuple[int, int, datetime | None]:
        with self._lock:
            return self.requests, self.errors, self.last_activity


class _Counted(Agent):
    """An agent whose tasks are counted."""

    def __init__(self, agent: Agent, counts: _Counts) -> None:
        self._agent, self._counts = agent, counts
        self._lock = Lock()
        self._working = 0
        self._last = counts.clock()

    async def run(self, task: AgentTask) -> AgentAnswer:
        self._begin()
        try:
            return await self._agent.run(task)
        except Exception:
            self._counts.add(errors=1)
            raise
        finally:
            self._end()

    def touch(self) -> None:
        with self._lock:
            self._last = self._counts.clock()

    def idle_for(self, now: datetime) -> float:
        """Seconds since anybody wanted anything of it, 0 at least; less than any number while it works."""
        with self._lock:
            return -inf if self._working else max(0.0, (now - self._last).total_seconds())

    def _begin(self) -> None:
        self._counts.add(requests=1)
        with self._lock:
            self._working += 1

    def _end(self) -> None:
        with self._lock:
            self._working -= 1
            self._last = self._counts.clock()


def _summed(counts: list[_Counts]) -> dict[str, Any]:
    told = [each.told() for each in counts]
    last = max((at for _, _, at in told if at is not None), default=None)
    return {"requests": sum(n for n, _, _ in told), "errors": sum(n for _, n, _ in told), "last_activity": last}


def _tenant(key: Any) -> Tenant:
    """The tenant, if it is one: an agent without a tenant would be everybody's."""
    if not (isinstance(key, tuple) and len(key) == 2 and all(isinstance(each, str) and each.strip() for each in key)):
        hint = "give the client account and the engagement"
        raise AgentError(f"an agent needs a tenant, and {key!r} is none", hint=hint)
    client, engagement = key
    return client, engagement
