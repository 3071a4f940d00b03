"""A sink that posts every payload to a web address, such as the hook of an automation service."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from phasegate.apps.outreach.routing.payloads import Payload
from phasegate.apps.outreach.routing.sinks import Delivery, DeliveryOutcome
from phasegate.errors import InputError

if TYPE_CHECKING:
    import httpx

_SERVER_ERROR = 500


class HttpSink:
    """Posts each payload as JSON, with its key in the header ``Idempotency-Key``.

    Any 2xx answer is a success. A 5xx answer, a timeout and a network error are worth another try; every other answer
    is not. Messages name scheme, host and port only: user, path and query of such an address are commonly its secret.
    """

    def __init__(self, url: str, timeout: float = 30.0, client: httpx.Client | None = None) -> None:
        """``timeout`` in seconds. A client that is given stays the caller's to close.

        Raises InputError for an address that is not one of http or https.
        """
        import httpx  # here, because loading it costs more than everything else in this package

        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InputError("the address of the HTTP sink is not a web address: correct it") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise InputError("the address of the HTTP sink must begin with http:// or https:// and name a host")
        self._timeout = timeout
        self._client = client if client is not None else httpx.Client()
        self._owned = client is None

    def __enter__(self) -> HttpSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """Where payloads go, in words that may be shown to anybody."""
        return f"{self._url.scheme}://{self._url.netloc.decode('ascii')}"

    def deliver(self, payloads: Sequence[Payload]) -> list[Delivery]:
        """As ``Sink`` says. When no connection can be made, the rest of the payloads is not tried one timeout each."""
        import httpx

        deliveries: list[Delivery] = []
        unreachable = ""
        for payload in payloads:
            outcome, message = DeliveryOutcome.RETRYABLE, unreachable
            if not unreachable:
                try:
                    outcome, message = self._post(payload)
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    message = unreachable = f"{self.place} cannot be reached ({type(error).__name__})"
                except httpx.TimeoutException:
                    message = f"{self.place} did not answer within {self._timeout:g} seconds"
                except httpx.RequestError as error:
                    message = f"{self.place} broke the connection off ({type(error).__name__})"
            deliveries.append(Delivery(payload.dedup_key, outcome, message))
        return deliveries

    def close(self) -> None:
        """Close the connections, unless they belong to the caller's client."""
        if self._owned:
            self._client.close()

    def _post(self, payload: Payload) -> tuple[DeliveryOutcome, str]:
        response = self._client.post(
            self._url,
            content=json.dumps(payload.to_json()),
            headers={"Content-Type": "application/json", "Idempotency-Key": payload.dedup_key},
            timeout=self._timeout,
            # A hook that has moved is a mistake in the configuration, and a redirected POST arrives without its body.
            follow_redirects=False,
        )
        message = f"{self.place} answered {response.status_code}"
        if response.is_success:
            return DeliveryOutcome.DELIVERED, message
        if response.status_code >= _SERVER_ERROR:
            return DeliveryOutcome.RETRYABLE, message
        return DeliveryOutcome.PERMANENT, message
