"""What is stored as text for a terminal, and as JSON for programs.

Messages, metadata and names are whatever user code made them: control characters that a terminal
would obey, halves of surrogate pairs that no encoding takes, floats that JSON has no number for.
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

# Control characters but for tab and newline, those that turn the direction of text, and surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Text that a terminal shows and does not obey: what it would is escaped, ``\x1b`` as here."""
    return _OBEYED.sub(lambda found: repr(found[0])[1:-1], text)


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON that every parser reads.

    A float that is not a number or infinite is one of the strings ``NaN``, ``Infinity`` and
    ``-Infinity``, as in the JSON form of protocol buffers. What JSON has no form for is its text.
    """
    try:
        return json.dumps(value, indent=indent, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_with_named_floats(value), indent=indent, default=str, allow_nan=False)


def _with_named_floats(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return {_with_named_floats(key): _with_named_floats(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_named_floats(each) for each in value]
    return value
