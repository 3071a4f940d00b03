"""The border between the pipeline and whatever takes the payloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from phasegate.apps.outreach.routing.payloads import Payload


class DeliveryOutcome(StrEnum):
    """How one delivery ended; only a retryable one is worth another try."""

    DELIVERED = "delivered"
    RETRYABLE = "retryable"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one payload. The message is for people and holds no secrets."""

    dedup_key: str
    outcome: DeliveryOutcome
    message: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the payload has arrived, now or on an earlier occasion."""
        return self.outcome is DeliveryOutcome.DELIVERED


class Sink(Protocol):
    """Takes payloads."""

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        """Try each payload once, without waiting; one delivery per payload, in the same order.

        What goes wrong outside the program is reported in the delivery and not raised. ``delivered`` is a promise: the
        payload has been accepted, and survives a crash of this process.
        """
