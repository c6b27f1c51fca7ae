"""Names and paths held against glob patterns."""

import re
from collections.abc import Sequence
from fnmatch import translate
from string import digits

#: Stand in a path for a part of it that may be any text, or any number.
ANYTHING, NUMBER = "\0", "\1"

# A `*`, a set of characters as fnmatch takes it, or a character.
_TOKEN = re.compile(r"\[(?:!|(?!!))(?:\][^\]]*|[^\]]+)\]|.", re.DOTALL)


class Globs:
    """Patterns, one of which is to match a name in whole, whatever the case.

    Args:
        patterns (Sequence[str]): Patterns as ``fnmatch`` takes them.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._any = (
            re.compile("|".join(translate(each) for each in patterns), re.IGNORECASE)
            if patterns
            else None
        )
        self._each = [[_token(each) for each in _TOKEN.findall(glob)] for glob in patterns]

    def __call__(self, name: object) -> bool:
        """Whether a name matches; one with ``ANYTHING`` or ``NUMBER`` in it, whether it can."""
        if self._any is None or not isinstance(name, str):
            return False
        if ANYTHING in name or NUMBER in name:
            return any(_can_match(glob, name) for glob in self._each)
        return self._any.match(name) is not None


_Token = re.Pattern[str] | None


def _token(text: str) -> _Token:
    """What matches a character of a name; None for a ``*``."""
    return None if text == "*" else re.compile(translate(text), re.IGNORECASE)


def _can_match(glob: Sequence[_Token], name: str) -> bool:
    """Walks a name through the glob as an automaton whose states are places in the glob."""
    places = _with_stars(glob, {0})
    for character in name:
        if character == ANYTHING:
            places = set(range(min(places, default=len(glob) + 1), len(glob) + 1))
        elif character == NUMBER:
            reached: set[int] = set()
            places = _after(glob, places, digits)
            while not places <= reached:
                reached |= places
                places = _after(glob, places, digits)
            places = reached
        else:
            places = _after(glob, places, character)
    return len(glob) in places


def _after(glob: Sequence[_Token], places: set[int], characters: str) -> set[int]:
    """The places after one of the characters."""
    found = set()
    for place in places - {len(glob)}:
        token = glob[place]
        if token is None:
            found.add(place)
        elif any(map(token.match, characters)):
            found.add(place + 1)
    return _with_stars(glob, found)


def _with_stars(glob: Sequence[_Token], places: set[int]) -> set[int]:
    """The places, and those behind stars, which may match nothing."""
    found = set(places)
    for place in places:
        while place < len(glob) and glob[place] is None:
            place += 1
            found.add(place)
    return found
