"""Flow types, validators and handlers by name: three views of the one registry that an engine works with.

A flow type is only accepted when every name in it is known. Registering the same again changes nothing, something else under a
name that is taken is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phasegate import Registry
from phasegate.apps.discovery.configs import FlowTypeConfig, PhaseConfig
from phasegate.errors import FlowError, UnknownName, did_you_mean


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What a validator says: ``errors`` keep a phase from running; the others are for whoever asks it."""

    valid: bool = True
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    info: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, errors: Sequence[str], warnings: Sequence[str] = ()) -> ValidationResult:
        """Valid without errors."""
        return cls(not errors, tuple(errors), tuple(warnings))


@dataclass(frozen=True, slots=True)
class HandlerResult:
    """What a handler came to."""

    success: bool = True
    data: Any = None
    error: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Validator = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], ValidationResult]
Handler = Callable[[Mapping[str, Any]], HandlerResult]


class _View:
    """Functions of one kind, under names of their own in the registry."""

    kind = ""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def _register(self, name: str, function: Callable[..., Any]) -> None:
        known = self._registry.handlers.get(self._key(name))
        if known is not None and known != function:
            raise FlowError(name, [f"another {self.kind} is registered under that name already"])
        self._registry.handler(self._key(name), function)

    def get(self, name: str) -> Callable[..., Any]:
        """The function of this name. Raises ``UnknownName`` with the nearest known one."""
        found = self._registry.handlers.get(self._key(name))
        if found is None:
            raise UnknownName(self.kind, name, self.names())
        return found

    def is_registered(self, name: str) -> bool:
        """Whether there is one of this name."""
        return self._key(name) in self._registry.handlers

    def names(self) -> list[str]:
        """Every name, sorted."""
        return sorted(key.partition(":")[2] for key in self._registry.handlers if key.startswith(f"{self.kind}:"))

    def _key(self, name: str) -> str:
        return f"{self.kind}:{name}"


class ValidatorRegistry(_View):
    """Validators: ``(phase_input, flow_state, overrides)`` to a ``ValidationResult``."""

    kind = "validator"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._everywhere: dict[str, None] = {}

    def register(self, name: str, function: Validator, *, everywhere: bool = False) -> None:
        """Know a validator by a name; with ``everywhere`` it runs before every phase of every flow type, otherwise where a flow
        type or a phase names it. Raises ``FlowError`` when another one has the name."""
        self._register(name, function)
        if everywhere:
            self._everywhere[name] = None

    def of(self, config: FlowTypeConfig, phase: PhaseConfig) -> tuple[str, ...]:
        """The validators of a phase, each once, in the order in which they run: those of everything, of its flow type, its
        own."""
        return tuple(dict.fromkeys((*self._everywhere, *config.validators, *phase.validators)))


class HandlerRegistry(_View):
    """Handlers: a mapping about the phase to a ``HandlerResult``."""

    kind = "handler"

    def register(self, name: str, function: Handler) -> None:
        """Know a handler by a name. Raises ``FlowError`` when another one has it."""
        self._register(name, function)


class ExecutorRegistry(_View):
    """The functions of phases: an engine's context to what the phase gives."""

    kind = "executor"

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Know the function of a step by a name. Raises ``FlowError`` when another one has it."""
        self._register(name, function)


class FlowTypeRegistry:
    """Flow types by name, each with a flow of the engine behind it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.validators, self.handlers = ValidatorRegistry(registry), HandlerRegistry(registry)
        self.executors = ExecutorRegistry(registry)
        self._configs: dict[str, FlowTypeConfig] = {}

    def register(self, config: FlowTypeConfig) -> None:
        """Know a flow type. Raises ``FlowError`` with every name in it that nobody has registered, and when another version is
        registered already."""
        known = self._configs.get(config.name)
        if known == config:
            return
        problems = list(self._problems(config))
        if known is not None:
            problems.append(f"version {known.version} is registered already")
        if problems:
            raise FlowError(config.name, problems)
        self._configs[config.name] = config

    def unregister(self, name: str) -> None:
        """Forget a flow type; nothing when there is none."""
        self._configs.pop(name, None)

    def get(self, name: str) -> FlowTypeConfig:
        """The flow type. Raises ``UnknownName`` with the nearest known one."""
        if name not in self._configs:
            raise UnknownName("flow type", name, self._configs)
        return self._configs[name]

    def is_registered(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name in self._configs

    def list(self) -> tuple[FlowTypeConfig, ...]:
        """All flow types, by name."""
        return tuple(self._configs[name] for name in sorted(self._configs))

    def by_capability(self, capability: str) -> tuple[FlowTypeConfig, ...]:
        """Those that can do something."""
        return tuple(each for each in self.list() if capability in each.capabilities)

    def by_tag(self, tag: str) -> tuple[FlowTypeConfig, ...]:
        """Those with a tag."""
        return tuple(each for each in self.list() if tag in each.tags)

    def get_phase_config(self, flow_type: str, phase: str) -> PhaseConfig:
        """A phase of a flow type. Raises ``UnknownName``."""
        config = self.get(flow_type)
        found = config.phase(phase)
        if found is None:
            raise UnknownName("phase", phase, [each.name for each in config.phases])
        return found

    def get_next_phase(self, flow_type: str, phase: str) -> str | None:
        """The phase after this one; None after the last."""
        self.get_phase_config(flow_type, phase)
        return self.get(flow_type).next_phase(phase)

    def is_phase_valid(self, flow_type: str, phase: str) -> bool:
        """Whether the flow type has this phase."""
        return self.get(flow_type).phase(phase) is not None

    def _problems(self, config: FlowTypeConfig) -> Iterator[str]:
        own = (*config.initialization_handlers, *config.finalization_handlers, *config.error_handlers)
        yield from self._unknown(self.handlers, "the flow type", own)
        yield from self._unknown(self.validators, "the flow type", config.validators)
        for phase in config.phases:
            said = f"phase {phase.name!r}"
            yield from self._unknown(self.validators, said, phase.validators)
            yield from self._unknown(self.handlers, said, (*phase.pre_handlers, *phase.post_handlers))
            yield from self._unknown(self.executors, said, phase.executors)

    def _unknown(self, view: _View, said: str, names: Sequence[str]) -> Iterator[str]:
        for name in names:
            if not view.is_registered(name):
                hint = did_you_mean(name, view.names())
                yield f"{said} names the {view.kind} {name!r}, which is not registered" + (f" ({hint})" if hint else "")
