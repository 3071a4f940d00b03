"""Plans and policies in files: what they may say, and that they say nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from phasegate.apps.build.policy import Policy
from phasegate.errors import InputError, did_you_mean

#: A plan is written by people; more than this is something else.
MOST_BYTES = 4 << 20
#: So many values may be in it; the aliases of YAML can make any number of a few lines.
MOST_VALUES = 100_000
#: No limit is larger; in seconds it is three hundred years.
MOST = 10**10
_KEYS = ("phases", "rules", "protected_paths", "context_files", "policy", "tiers")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan says. ``phases`` are as they were written; each is checked when its turn comes."""

    phases: tuple[Any, ...]
    rules: tuple[str, ...] = ()
    protected_paths: tuple[str, ...] | None = None
    context_files: tuple[str, ...] | None = None
    policy: Mapping[str, Any] | None = None
    tiers: tuple[str, ...] = ()


def read_plan(path: Path) -> Plan:
    """The plan in a file, YAML or JSON: a list of phases, or an object with ``phases`` and what holds for all of them.

    Raises ``InputError`` when the file cannot be read, or says something that no plan has.
    """
    value = read_yaml(path)
    if isinstance(value, list):
        value = {"phases": value}
    if not isinstance(value, dict) or not isinstance(value.get("phases"), list):
        raise InputError(f"{path} is no plan", hint="write a list of phases, or an object with a list called phases")
    _refuse_unknown(path, value, _KEYS)
    for number, phase in enumerate(value["phases"], 1):
        if not isinstance(phase, dict):
            raise InputError(
                f"{path}: phase {number} is no object",
                hint="a phase has at least a description: write description: ...",
            )
    return Plan(
        tuple(value["phases"]), _texts(path, value, "rules") or (), _texts(path, value, "protected_paths"),
        _texts(path, value, "context_files"), value.get("policy"), _texts(path, value, "tiers") or (),
    )  # fmt: skip


def read_policy(path: Path) -> Mapping[str, Any]:
    """The policy in a file: an object of limits. Raises ``InputError``."""
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} is no policy", hint="write an object, for example auto_approve: true")
    return value


def policy_of(*given: Mapping[str, Any] | None) -> Policy:
    """The usual policy with what was given laid over it, the last on top. Raises ``InputError`` for limits that there are not,
    and for values that are none."""
    known = {each.name: get_type_hints(Policy)[each.name] for each in fields(Policy)}
    merged: dict[str, Any] = {}
    for each in given:
        if each is not None and not isinstance(each, Mapping):
            raise InputError("a policy is an object of limits")
        merged |= each or {}
    for name, value in merged.items():
        if name not in known:
            raise InputError(f"a policy has no limit {name!r}", hint=did_you_mean(str(name), known))
        merged[name] = _fitted(name, value, known[name])
    return Policy(**merged)


def read_yaml(path: Path) -> Any:
    """The value of a YAML or JSON file. Raises ``InputError`` with the place of what is wrong."""
    import yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than {MOST_BYTES >> 20} MiB, too large for a plan")
        value = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if _is_endless(value):
        raise InputError(f"{path} has more than {MOST_VALUES:,} values with its aliases written out")
    return value


def _is_endless(value: Any) -> bool:
    """Whether a value has too many others in it, or itself."""
    count, left = 0, [value]
    while left:
        each = left.pop()
        count += 1
        if count + len(left) > MOST_VALUES:
            return True
        if isinstance(each, dict):
            left += [*each.keys(), *each.values()]
        elif isinstance(each, list | set | tuple):
            left += each
    return False


def _texts(path: Path, value: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    given = value.get(name)
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise InputError(f"{path}: {name} is a list of texts")
    return tuple(given)


def _refuse_unknown(path: Path, value: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for name in value:
        if name not in known:
            raise InputError(f"{path}: a plan has no {name!r}", hint=did_you_mean(str(name), known))


def _fitted(name: str, value: Any, wanted: Any) -> Any:
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if tuple[str, ...] in kinds:
        if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            return tuple(value)
    elif bool in kinds:
        if isinstance(value, bool):
            return value
    elif _is_number(value) and (float in kinds or value == int(value)):
        return float(value) if float in kinds else int(value)
    raise InputError(f"the limit {name} cannot be {value!r}")


def _is_number(value: object) -> bool:
    """Whether it is a number that a limit can be; there is no limit without end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST
