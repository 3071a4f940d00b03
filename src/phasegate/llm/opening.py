"""One client out of everything in this package, for those who just want answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phasegate.errors import InputError
from phasegate.llm.provider import ProviderClient
from phasegate.llm.recording import Recorder, Replay
from phasegate.llm.request import Client
from phasegate.llm.trying import Fallback, Retrying


def open_client(
    model: str | Sequence[str],
    *,
    record: str | Path | None = None,
    replay: str | Path | None = None,
    stream: bool = False,
    timeout: float | None = None,
    attempts: int = 4,
) -> Client:
    """A client for a model, or for several of which the next is asked when one fails.

    Each is tried ``attempts`` times where that may help; ``timeout`` is seconds for one call. With ``record``, answers are
    written to that folder. With ``replay``, they are read from it instead, and no provider is ever called.
    """
    models = [model] if isinstance(model, str) else list(model)
    if not models:
        raise InputError("name at least one model")
    if replay is not None:
        if record is not None:
            raise InputError("a client either records or replays")
        return Replay(replay)
    clients: list[Client] = [
        Retrying(ProviderClient(each, stream=stream, timeout=timeout), attempts=attempts) for each in models
    ]
    client = clients[0] if len(clients) == 1 else Fallback(clients)
    return client if record is None else Recorder(client, record)
