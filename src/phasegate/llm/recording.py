"""Answers on disk: recorded once, replayed as often as wanted, for tests without a provider and for bills paid once."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from phasegate.llm.errors import LLMError
from phasegate.llm.redacting import redact
from phasegate.llm.request import STOP_REASONS, Client, Request, Response, deciding, request_key

#: A request that is not recorded is compared with so many recordings to tell what differs.
COMPARED = 200
# A recording is read, added to, and written: one at a time in a process.
_writing = threading.Lock()

Recording = dict[str, Any]


class Recorder(Client):
    """A client that writes down what another answers, one JSON file per request, named by its key.

    The n-th of several equal requests, told by ``metadata["occurrence"]``, has its own answer; recording it again replaces
    it. The request is stored without secrets and without its metadata, the answer exactly as it is. Files are replaced
    whole, so that a reader never sees half of one. Two processes should not record into one folder at the same time:
    an occurrence could be lost. Failures are not recorded.
    """

    def __init__(self, client: Client, folder: str | Path) -> None:
        self._client, self._folder = client, Path(folder)

    async def generate(self, request: Request) -> Response:
        """The other client's answer, which is on disk when it is returned. Raises ``LLMError``, also when it cannot be."""
        key, occurrence = request_key(request), request.occurrence
        response = await self._client.generate(request)
        try:
            await asyncio.to_thread(self._write, self._folder / f"{key}.json", request, occurrence, response)
        except OSError as error:
            said = f"the answer cannot be recorded in {self._folder.name}: {error.strerror or type(error).__name__}"
        else:
            return response
        raise LLMError("bad_request", said, hint="make the folder writable, or record in another one")

    def ready(self) -> None:
        """As the client says."""
        self._client.ready()

    def _write(self, path: Path, request: Request, occurrence: int, response: Response) -> None:
        with _writing:
            recording = read(path) or {"request": shown(request), "responses": []}
            answers = recording["responses"]
            answers.extend([None] * (occurrence + 1 - len(answers)))
            answers[occurrence] = asdict(response)
            replace_file(path, recording)


class Replay(Client):
    """Recorded answers, exactly as they were given.

    Which of several equal requests is meant is told by ``metadata["occurrence"]``, never counted here, so that a process that
    starts anew gets the same answers. Occurrences after the last recorded one repeat it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def generate(self, request: Request) -> Response:
        """The recorded answer. Raises ``LLMError`` of kind ``no_recording`` when there is none."""
        return await asyncio.to_thread(self._read, request)

    def ready(self) -> None:
        """Raises ``LLMError`` when the folder is not there."""
        if not self._folder.is_dir():
            raise LLMError("no_recording", f"there is no folder {self._folder.name} with recordings", calls=0)

    def _read(self, request: Request) -> Response:
        key, occurrence = request_key(request), request.occurrence
        recording = read(self._folder / f"{key}.json")
        if recording is None:
            raise LLMError("no_recording", self._missing(key, request), calls=0)
        answers = recording["responses"][: occurrence + 1]
        answer = next((each for each in reversed(answers) if each is not None), None)
        if answer is None:
            said = f"the folder {self._folder.name} has no answer for occurrence {occurrence} of the request {key[:12]}"
            raise LLMError("no_recording", said, calls=0)
        return response_of(answer, f"{key}.json")

    def _missing(self, key: str, request: Request) -> str:
        said = f"the folder {self._folder.name} has no recording of the request {key[:12]}"
        nearest = closest(self._folder, shown(request))
        return f"{said}; {nearest}" if nearest else said


def shown(request: Request) -> dict[str, Any]:
    """What decides the answer, without secrets."""
    found: dict[str, Any] = without_secrets(deciding(request))
    return found


def without_secrets(value: Any) -> Any:
    """A JSON value of which every text is redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): without_secrets(each) for name, each in value.items()}
    return [without_secrets(each) for each in value] if isinstance(value, list | tuple) else value


def closest(folder: Path, wanted: Mapping[str, Any]) -> str | None:
    """What differs between the wanted request and the most similar recorded one."""
    best: tuple[float, str, list[str]] | None = None
    for path in sorted(folder.glob("*.json"))[:COMPARED]:
        try:
            recording = read(path)
        except LLMError:
            continue  # told when it is asked for
        if recording is not None:
            found = (similarity(wanted, recording["request"]), path.name, differences(wanted, recording["request"]))
            best = found if best is None or found[0] > best[0] else best
    return f"the closest, {best[1][:12]}, differs in {', '.join(best[2]) or 'secrets'}" if best else None


def similarity(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """How much two requests have in common: one for each field that is equal, less for texts that begin alike."""
    return sum(1.0 if value == other.get(name) else likeness(value, other.get(name)) for name, value in one.items())


def likeness(one: object, other: object) -> float:
    """How much of two texts is the same at their beginning, from 0 to 1."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return 0.0
    return shared(one, other) / max(len(one), len(other), 1)


def shared(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The fields that differ; of texts, from which character on."""
    found = []
    for name, value in one.items():
        there = other.get(name)
        if value != there:
            if isinstance(value, str) and isinstance(there, str):
                found.append(f"{name} (from character {shared(value, there)})")
            else:
                found.append(name)
    return found


def read(path: Path) -> Recording | None:
    """A recording, or None when there is none. Raises ``LLMError`` when the file is not one."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(path.name) from error
    valid = (
        isinstance(found, dict) and isinstance(found.get("request"), dict) and isinstance(found.get("responses"), list)
    )
    if not valid:
        raise unreadable(path.name)
    return dict(found)


def response_of(answer: object, file: str) -> Response:
    """A recorded answer."""
    known = {field.name for field in fields(Response)}
    if not isinstance(answer, dict) or not set(answer) <= known or not isinstance(answer.get("text"), str):
        raise unreadable(file)
    if answer.get("stop_reason", "unknown") not in STOP_REASONS:
        raise unreadable(file)
    return Response(**answer)


def unreadable(file: str) -> LLMError:
    """The error for a file that is no recording."""
    hint = "delete the file and record the request again"
    return LLMError("no_recording", f"{file} is not a recording", hint=hint, calls=0)


def replace_file(path: Path, recording: Recording) -> None:
    """Write a recording whole or not at all. ASCII, so that every text survives, also half of a surrogate pair."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(recording, indent=2, sort_keys=True).encode("ascii") + b"\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
