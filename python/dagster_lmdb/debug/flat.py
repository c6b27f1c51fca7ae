"""Nested values as paths and leaves, and what changed between two of them."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "absent"})()

#: What parts a path, or begins something other than a name in it.
_SPECIAL = frozenset('.[]{}"')


@dataclass(frozen=True)
class Change:
    """A leaf that is not the same in both; ``ABSENT`` where one does not have it."""

    path: str
    a: Any
    b: Any

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        if self.a is ABSENT:
            return "added"
        return "removed" if self.b is ABSENT else "changed"

    def as_object(self) -> dict[str, Any]:
        """The change for programs; a side that does not have the leaf is left out."""
        sides = {name: side for name, side in (("a", self.a), ("b", self.b)) if side is not ABSENT}
        return {"path": self.path, "change": self.kind, **sides}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of mappings and lists with its path; an empty one of them is a leaf.

    No two leaves have the same path: a key that could be taken for several, or for a place in a
    list, is quoted, ``ops["a.b"]``.
    """
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            if not isinstance(key, str):
                yield from leaves(inner, f"{path}{{{key!r}}}")
            elif not key or _SPECIAL.intersection(key):
                yield from leaves(inner, f"{path}[{json.dumps(key)}]")
            else:
                yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)) and value:
        for place, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def changes(
    a: Mapping[str, Any], b: Mapping[str, Any], seen: Callable[[Any], Any] | None = None
) -> list[Change]:
    """The keys of which two mappings have different values, in the order of their keys.

    Args:
        a (Mapping[str, Any]): One of them.
        b (Mapping[str, Any]): The other.
        seen (Optional[Callable[[Any], Any]]): What is compared of a value; the value by default.
    """
    found = (Change(key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in {**a, **b})

    def differ(change: Change) -> bool:
        sides = (change.a, change.b)
        return not same(*(sides if seen is None else map(seen, sides)))

    return sorted(filter(differ, found), key=lambda each: each.path)


def same(a: Any, b: Any) -> bool:
    """Whether two leaves are the same: of one type, so that 1 is not True, and NaN is itself."""
    return type(a) is type(b) and (a == b or (a != a and b != b))


def nested_changes(a: Any, b: Any, seen: Callable[[Any], Any] | None = None) -> list[Change]:
    """The leaves in which two nested values differ; ``seen`` gives what is compared of a leaf."""
    flat_a, flat_b = (dict(leaves(value)) if value else {} for value in (a, b))
    return changes(flat_a, flat_b, seen)
