"""Settings: arguments, then the environment (``PHASEGATE_...``), then these defaults."""

from __future__ import annotations

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from phasegate.errors import InputError


class Settings(BaseSettings):
    """What can be set from outside. ``database`` is an address such as ``sqlite:///phasegate.db``; ``lease`` and ``busy`` are
    seconds. ``ray_address`` is a Ray cluster such as ``10.0.0.1:6379``, or ``auto`` for the one this machine is a node of."""

    model_config = SettingsConfigDict(env_prefix="PHASEGATE_", extra="ignore")

    database: str = "sqlite:///phasegate.db"
    tenant: str = "default"
    concurrency: int = Field(default=1000, ge=1)
    threads: int = Field(default=16, ge=1)
    lease: float = Field(default=15.0, gt=0)
    busy: float = Field(default=30.0, gt=0)
    ray_address: str | None = None


def from_environment() -> Settings:
    """The settings as they are outside. Raises ``InputError`` naming the variables that make no sense."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"PHASEGATE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
        raise InputError("; ".join(wrong)) from error
