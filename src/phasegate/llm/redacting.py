"""Taking secrets out of text that is going to be shown, logged or stored."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote

#: What stands where a secret stood.
MARK = "[redacted]"
#: Environment variables with such names hold secrets.
SECRET_NAMES = ("_API_KEY", "_TOKEN", "_SECRET", "_SECRET_KEY", "_ACCESS_KEY", "_PASSWORD")
#: A shorter value is a word such as "true" or "dummy"; taking it out would spoil innocent text.
SHORTEST = 8

# A header or setting and its value, however it is written: Authorization: Bearer x, {'x-api-key': 'x'}, (b'x-api-key', b'x').
_NAMES = (
    "authorization|x-api-key|x-goog-api-key|api[_-]?key|access[_-]token|client[_-]secret|secret[_-]key|passw(?:or)?d"
)
NAMED = re.compile(
    # What stands behind a slash is the name of a file, unless it is a setting in an address.
    rf"""((?:(?<!/)(?:{_NAMES})(?:\\?["']?\s*[:=]|["']\s*,) | (?<=/)(?:{_NAMES})=)
        \s*(?:b(?=["']))?\\?["']?(?:(?:bearer|basic|token)\s+)?)[^\s"',;&}}\\]+""",
    re.IGNORECASE | re.VERBOSE,
)
BEARER = re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
# The password in scheme://user:password@host. What it may go through is bounded: it is tried at every word of a long text.
IN_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,200}:)[^\s/]{1,500}(?=@)", re.IGNORECASE)
# Keys that tell by their beginning what they are: OpenAI, Anthropic, xAI, Groq, Google, GitHub, GitLab, Hugging Face,
# Slack, AWS, and signed tokens.
SHAPES = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?:sk|pk|rk|xai)-[\w-]{8,} | gsk_\w{16,} | AIza[\w-]{20,} | (?:gh[opsur]|github_pat|glpat|hf)[_-]\w{16,}
        | xox[abprs]-[\w-]{10,} | (?:AKIA|ASIA)[A-Z0-9]{16} | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
    )""",
    re.VERBOSE,
)


def redact(text: str) -> str:
    """The text without secrets.

    Taken out are the values of environment variables that hold keys, tokens and passwords, authorization headers, bearer
    tokens, passwords in addresses, and keys of well-known shapes. What is left may have lost an innocent word, too.
    """
    for value in sorted(set(secrets()), key=len, reverse=True):
        text = text.replace(value, MARK)
    text = NAMED.sub(rf"\1{MARK}", text)
    text = BEARER.sub(rf"\1{MARK}", text)
    text = IN_ADDRESS.sub(rf"\1{MARK}", text)
    return SHAPES.sub(MARK, text)


def secrets() -> Iterator[str]:
    """The secrets in the environment, as they are and as JSON and addresses spell them."""
    for name, value in os.environ.items():
        if name.upper().endswith(SECRET_NAMES) and len(value) >= SHORTEST and value not in MARK:
            yield from (value, json.dumps(value)[1:-1], quote(value, safe="", errors="surrogateescape"))
