"""From ``module:attribute`` to the code it names."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from phasegate.errors import InputError, UnknownName
from phasegate.registry import Registry


def load_attribute(reference: str) -> Any:
    """What ``module:attribute`` names; modules in the working directory are found too.

    Raises ``InputError`` when it is written otherwise or there is no such module, ``UnknownName`` when the module has no
    such attribute. Whatever the module itself raises passes through.
    """
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        raise InputError(
            f"code is named as module:attribute, not {reference!r}", hint="such as --app shop.flows:registry"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = _module(module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise UnknownName(f"attribute of {module_name}", name, [n for n in dir(found) if not n.startswith("_")])
        found = getattr(found, name)
    return found


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise InputError(f"there is no module {error.name!r}", hint="check the name and the directory") from None
        raise  # the module is there; what it imports is not


def load_registry(reference: str) -> Registry:
    """The registry that ``module:attribute`` names, or that the function there builds. Raises as ``load_attribute``."""
    found = load_attribute(reference)
    if not isinstance(found, Registry) and callable(found):
        found = found()
    if not isinstance(found, Registry):
        raise InputError(
            f"{reference} is neither a Registry nor a function that builds one, but {type(found).__name__}"
        )
    return found
