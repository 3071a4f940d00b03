"""Invalid records on their way out of the database: every one is a subject of its own, so that the engine repeats exactly
those that did not arrive.

What was accepted is marked in the commit that completes the delivery. When the process dies between the two, the record
is sent again, and the sink recognises it by its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phasegate import Batch, Context, Fatal, Flow, InputError, Phase, Retry, Skip, Subject
from phasegate.apps.outreach import reports
from phasegate.apps.outreach.routing import CsvSink, Delivery, DeliveryOutcome, JsonLinesSink, Payload

if TYPE_CHECKING:
    from pathlib import Path

    from phasegate.apps.outreach.routing import Sink
    from phasegate.engine import Engine

_WORST_FIRST = (DeliveryOutcome.PERMANENT, DeliveryOutcome.RETRYABLE, DeliveryOutcome.DELIVERED)
_MESSAGES_SHOWN = 10


class NotDelivered(Exception):
    """The sink did not take the record this time."""


class FileSink:
    """One CSV file per sheet tab for people, and all payloads as ``failures.jsonl`` for programs, in one directory."""

    def __init__(self, directory: Path) -> None:
        """The directory and the files are made with the first delivery."""
        self._sinks: tuple[Sink, ...] = (CsvSink(directory), JsonLinesSink(directory / "failures.jsonl"))

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        """As ``Sink`` says; delivered is what both files hold."""
        answers = zip(*(sink.deliver(payloads) for sink in self._sinks), strict=True)
        return [min(each, key=lambda delivery: _WORST_FIRST.index(delivery.outcome)) for each in answers]


def deliver(contexts: Sequence[Context]) -> list[Any]:
    """Give the records to the sink, together, oldest first: for each what became of it, or the error that says so."""
    first = contexts[0]
    if first.dry_run:
        return [{"delivered": False, "dry_run": True} for _ in contexts]
    if getattr(first.deps, "sink", None) is None:
        raise NotDelivered("no sink is configured")
    rows = first.read(reports.outbox_rows([context.subject.id for context in contexts]))
    payloads = [Payload.from_json(row["payload"]) for row in rows if row["status"] != "delivered"]
    deliveries = {each.dedup_key: each for each in first.deps.sink.deliver(payloads)} if payloads else {}
    return [_ending(context, deliveries.get(context.subject.id)) for context in contexts]


def _ending(context: Context, delivery: Delivery | None) -> Any:
    if delivery is None:
        return Skip("delivered already")
    if delivery.outcome is DeliveryOutcome.PERMANENT:
        return Fatal(delivery.message)
    if not delivery.delivered:
        return NotDelivered(delivery.message)
    context.write(reports.MARK_DELIVERED, {"key": delivery.dedup_key, "at": context.now()})
    return {"delivered": True, "message": delivery.message}


#: One run per record of the outbox. What fails for a while is tried three times in all, after 2 and 4 seconds.
OUTBOX = Flow(
    "outreach-outbox",
    1,
    (
        Phase(
            "deliver",
            deliver,
            title="Deliver invalid records",
            batch=Batch(size=reports.CHUNK, within=0.02),
            retry=Retry(attempts=3, base=2.0, factor=2.0, jitter=False),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """What became of the records that were to be delivered. ``pending`` ones are kept for the next time; ``failed`` ones the
    sink has refused for good. ``messages`` holds the first few different reasons."""

    total: int = 0
    delivered: int = 0
    pending: int = 0
    failed: int = 0
    messages: tuple[str, ...] = ()
    dry_run: bool = False
    duration: float = 0.0

    def statistics(self) -> dict[str, int]:
        """The counters users know: what was routed, and how the attempts to do so ended."""
        tried = 0 if self.dry_run else self.pending + self.failed
        return {"routed_to_sheets": self.delivered, "webhook_success": self.delivered, "webhook_failed": tried}


def deliver_outbox(
    engine: Engine, *, limit: int | None = None, include_failed: bool = False, dry_run: bool = False, wait: float = 60.0
) -> OutboxReport:
    """Deliver what is pending, the oldest ``limit`` records or all; ``include_failed`` tries also what was refused.

    ``wait`` is how many seconds to wait for repetitions. A dry run tells nobody and counts what would be sent as pending.
    Raises ``InputError`` when the engine's registry has no sink.
    """
    if getattr(engine.registry.deps, "sink", None) is None:
        raise InputError("there is nowhere to deliver to", hint="give the registry a sink")
    wanted = reports.undelivered(tenant=engine.tenant, include_failed=include_failed, limit=limit)
    keys = [row["dedup_key"] for row in engine.read(wanted)]
    if not keys:
        return OutboxReport(dry_run=dry_run)
    done = engine.run_phase(OUTBOX, "deliver", [Subject("failure", key) for key in keys], dry_run=dry_run, wait=wait)
    rows = [row for start in range(0, len(keys), reports.CHUNK)
            for row in engine.read(reports.outbox_rows(keys[start : start + reports.CHUNK]))]  # fmt: skip
    statuses = [row["status"] for row in rows]
    errors = dict.fromkeys(row["last_error"] for row in rows if row["last_error"] and row["status"] != "delivered")
    return OutboxReport(
        total=len(keys),
        delivered=statuses.count("delivered"),
        pending=statuses.count("pending"),
        failed=statuses.count("failed"),
        messages=tuple(errors)[:_MESSAGES_SHOWN],
        dry_run=dry_run,
        duration=done.duration,
    )
