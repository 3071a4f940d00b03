"""One agent per tenant and kind, kept from task to task. No two tenants ever share one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from threading import Lock
from typing import Any

from phasegate.apps.discovery.agents.protocol import Agent, AgentAnswer, AgentConfig, AgentTask, agent_config
from phasegate.apps.discovery.errors import AgentError

#: A client account and an engagement of it.
Tenant = tuple[str, str]


def _now() -> datetime:
    return datetime.now(UTC)


class AgentPool:
    """Agents by tenant and kind, made when they are first asked for.

    Safe to use from several threads. Nothing runs in the background: whoever owns the pool calls ``clean`` from time to time.
    """

    def __init__(self, make: Callable[[AgentConfig], Agent], clock: Callable[[], datetime] = _now) -> None:
        """``make`` builds an agent, one at a time, and must not use the pool; ``clock`` tells the time, aware and in UTC."""
        self._make, self._clock = make, clock
        self._lock = Lock()
        self._agents: dict[tuple[Tenant, str], _Counted] = {}
        self._counts = _Counts(Lock(), clock)

    def get(self, tenant_key: Tenant, agent_type: str) -> Agent:
        """The tenant's agent of that type, the same one each time.

        Raises ``AgentError`` without a tenant and for an unknown type; what ``make`` raises passes, and nothing is kept.
        """
        tenant, config = _tenant(tenant_key), agent_config(agent_type)
        with self._lock:
            found = self._agents.get((tenant, agent_type))
            if found is None:
                found = self._agents[tenant, agent_type] = _Counted(self._make(config), self._counts)
            found.touch()
            return found

    def recreate(self, tenant_key: Tenant, agent_type: str) -> Agent:
        """A new agent in place of the one there may be. Whoever still holds the former one can finish with it."""
        tenant, config = _tenant(tenant_key), agent_config(agent_type)
        with self._lock:
            found = self._agents[tenant, agent_type] = _Counted(self._make(config), self._counts)
            return found

    def statistics(self) -> dict[str, Any]:
        """``agents`` kept now; ``requests`` made of agents and ``errors`` they ended with, also of agents dropped since; and
        ``last_activity``, an aware time in UTC, or None when nothing has been asked yet."""
        with self._lock:
            agents = len(self._agents)
        return {"agents": agents, **self._counts.told()}

    def clean(self, idle_seconds: float) -> int:
        """Drop agents that nobody has asked for, or asked anything, for more than so many seconds, and say how many.

        One that is working stays.
        """
        now = self._clock()
        with self._lock:
            idle = [key for key, agent in self._agents.items() if agent.idle_for(now) > idle_seconds]
            for key in idle:
                del self._agents[key]
        return len(idle)


@dataclass(slots=True)
class _Counts:
    """What all agents of a pool have been asked."""

    lock: Lock
    clock: Callable[[], datetime]
    requests: int = 0
    errors: int = 0
    last_activity: datetime | None = None

    def add(self, *, requests: int = 0, errors: int = 0) -> None:
        with self.lock:
            self.requests += requests
            self.errors += errors
            self.last_activity = self.clock()

    def told(self) -> dict[str, Any]:
        with self.lock:
            return {"requests": self.requests, "errors": self.errors, "last_activity": self.last_activity}


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
        """Seconds since anybody wanted anything of it; less than none while it works."""
        with self._lock:
            return -inf if self._working else (now - self._last).total_seconds()

    def _begin(self) -> None:
        self._counts.add(requests=1)
        with self._lock:
            self._working += 1

    def _end(self) -> None:
        with self._lock:
            self._working -= 1
            self._last = self._counts.clock()


def _tenant(key: Any) -> Tenant:
    """The tenant, if it is one: an agent without a tenant would be everybody's."""
    if not (isinstance(key, tuple) and len(key) == 2 and all(isinstance(each, str) and each.strip() for each in key)):
        hint = "give the client account and the engagement"
        raise AgentError(f"an agent needs a tenant, and {key!r} is none", hint=hint)
    client, engagement = key
    return client, engagement
