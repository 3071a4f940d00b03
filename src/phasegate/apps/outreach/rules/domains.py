"""Domains out of web sites and mail addresses, and whether two of them belong together."""

from __future__ import annotations

import re

from phasegate.apps.outreach.rules.fields import text

#: Domains at which anybody has an address; they say nothing about a company.
FREE_MAIL = frozenset(
    {
        "aol.com",
        "gmail.com",
        "gmx.com",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mail.com",
        "me.com",
        "msn.com",
        "outlook.com",
        "proton.me",
        "protonmail.com",
        "yahoo.com",
        "ymail.com",
    }
)

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_HOST_END = re.compile(r"[/?#]")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
# Second levels under which organisations register a third, as in "example.co.uk".
_SHARED_SECOND_LEVELS = frozenset({"ac", "co", "com", "edu", "gov", "net", "or", "org"})


def site_domain(value: object) -> str | None:
    """The lower-case domain of a web address or bare domain, or None.

    Scheme, user, port, path and a leading ``www.`` are removed. Names outside ASCII come back in their wire form. A
    name without a dot, a number as the last label and anything a host cannot be called give None.
    """
    host = _HOST_END.split(_without_scheme(text(value).casefold()), maxsplit=1)[0]
    host = host.rpartition("@")[2].partition(":")[0].removesuffix(".").removeprefix("www.")
    if len(host) > 253:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return host if _DOMAIN.fullmatch(host) else None


def mail_domain(value: object) -> str | None:
    """The lower-case domain of a mail address, or None."""
    local, at, domain = text(value).rpartition("@")
    return site_domain(domain) if local and at else None


def is_free_mail(domain: str) -> bool:
    """Whether anybody can have an address at this domain."""
    return domain in FREE_MAIL


def same_organisation(first: str, second: str) -> bool:
    """Whether two domains are equal, one is below the other, or both are below one registered name."""
    return _registered(first) == _registered(second)


def _without_scheme(address: str) -> str:
    scheme = _SCHEME.match(address)
    return address[scheme.end() :] if scheme else address


def _registered(domain: str) -> str:
    labels = domain.split(".")
    size = 3 if len(labels) > 2 and labels[-2] in _SHARED_SECOND_LEVELS else 2
    return ".".join(labels[-size:])
