"""Chosen values taken out of serialized objects before they leave.

What is chosen is found where it stands by name: tags by their keys, config by its paths, metadata
by its labels. It is replaced there, whatever it is. Texts among it are then replaced wherever else
they stand, in any text of any object: messages, errors, stacks, tags written out by Dagster. So are
the forms in which Python and JSON write them, and numbers where a text has them as a word. What is
shorter than ``SHORTEST`` characters is replaced by name alone, since it stands everywhere; so are
the ids of the runs that leave, by which all is found.

The objects are JSON as Dagster serializes them, which is walked without knowing its classes.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from fnmatch import translate
from typing import Any

#: Of characters that Dagster takes anywhere, also as the value of an asset's tag.
REPLACED = "REDACTED"
SHORTEST = 4

# What says of an object what it is, and no more.
_MARKS = frozenset(("__class__", "__enum__"))
_TAGS = frozenset(("tags", "logging_tags", "pipeline_tags", "job_tags"))
_CONFIG = "run_config"


class Redaction:
    """Patterns of names, and the texts that were found by them.

    A pattern is a glob, matched in whole and whatever the case: ``*password*``. One of config
    matches a path (``ops.load.config.token``) and all that is below it.

    Args:
        tags (Sequence[str]): Patterns of the keys of tags.
        config (Sequence[str]): Patterns of paths in run config.
        metadata (Sequence[str]): Patterns of labels of metadata.
        kept (Collection[str]): Texts that are replaced by name alone.
    """

    def __init__(
        self,
        tags: Sequence[str] = (),
        config: Sequence[str] = (),
        metadata: Sequence[str] = (),
        kept: Collection[str] = (),
    ) -> None:
        self._kept = frozenset(kept)
        self.patterns = {"tags": list(tags), "config": list(config), "metadata": list(metadata)}
        self._tags, self._config, self._metadata = map(_Matches, (tags, config, metadata))
        self._texts: set[str | int | float] = set()
        self._anywhere: re.Pattern[str] | None = None

    def __bool__(self) -> bool:
        return any(self.patterns.values())

    def look(self, packed: Any) -> None:
        """Takes note of what an object has of what is chosen; to be done for all of them first."""
        self._by_name(packed)

    def apply(self, packed: Any) -> Any:
        """An object without what is chosen, once all of them have been looked at."""
        named = self._by_name(packed)
        if self._anywhere is None:
            self._anywhere = _pattern(self._texts)
        return self._everywhere(named)

    def _by_name(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._by_name(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "entry_data" in value and self._metadata(value.get("label")):
            self._note(value["entry_data"])
            hidden = {"__class__": "TextMetadataEntryData", "text": REPLACED}
            return {**value, "entry_data": hidden, "description": None}
        found = {}
        for key, inner in value.items():
            if key in _TAGS and isinstance(inner, dict):
                found[key] = self._named(inner, self._tags)
            elif key == _CONFIG and isinstance(inner, dict):
                found[key] = self._config_of(inner, "")
            elif self._metadata(key) and _is_metadata(inner):
                self._note(inner)
                found[key] = {"__class__": "TextMetadataEntryData", "text": REPLACED}
            else:
                found[key] = self._by_name(inner)
        return found

    def _named(self, tags: dict[str, Any], matches: "_Matches") -> dict[str, Any]:
        found = {}
        for key, tag in tags.items():
            if matches(key):
                self._note(tag)
                found[key] = REPLACED
            else:
                found[key] = self._by_name(tag)
        return found

    def _config_of(self, config: Any, path: str) -> Any:
        if path and self._config(path):
            self._note(config)
            return REPLACED
        if isinstance(config, dict):
            return {
                key: self._config_of(inner, f"{path}.{key}" if path else str(key))
                for key, inner in config.items()
            }
        if isinstance(config, list):
            return [
                self._config_of(inner, f"{path}[{place}]") for place, inner in enumerate(config)
            ]
        return config

    def _note(self, value: Any) -> None:
        found = {
            each
            for each in _leaves(value)
            if len(str(each).strip()) >= SHORTEST and each not in self._kept
        }
        if not found <= self._texts:
            self._texts |= found
            self._anywhere = None

    def _everywhere(self, value: Any) -> Any:
        if self._anywhere is None:
            return value
        if isinstance(value, str):
            return self._anywhere.sub(REPLACED, value)
        if isinstance(value, list):
            return [self._everywhere(each) for each in value]
        if isinstance(value, dict):
            return {
                self._anywhere.sub(REPLACED, key): inner
                if key in _MARKS
                else self._everywhere(inner)
                for key, inner in value.items()
            }
        return value


class _Matches:
    def __init__(self, patterns: Sequence[str]) -> None:
        self._pattern = (
            re.compile("|".join(translate(each) for each in patterns), re.IGNORECASE)
            if patterns
            else None
        )

    def __call__(self, name: object) -> bool:
        return bool(
            self._pattern is not None and isinstance(name, str) and self._pattern.match(name)
        )


def _is_metadata(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("__class__", "")).endswith(
        ("MetadataEntryData", "MetadataValue")
    )


def _leaves(value: Any) -> Iterator[str | int | float]:
    """Every text and number in a value but the names of its fields and classes."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in _MARKS:
                yield from _leaves(inner)


def _pattern(leaves: Iterable[str | int | float]) -> re.Pattern[str] | None:
    """What finds any of the leaves in any of the forms in which they are written."""
    forms: dict[str, str] = {}
    for leaf in leaves:
        if isinstance(leaf, str):
            forms |= {form: re.escape(form) for form in _forms(leaf)}
        else:
            forms[str(leaf)] = rf"(?<![\w.-]){re.escape(str(leaf))}(?![\w-])"
    # The longest first, where one is within another.
    longest = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(forms[form] for form in longest)) if forms else None


def _forms(text: str) -> set[str]:
    """A text, and how it is written within texts that are Python or JSON, once and twice over."""
    once = {text, text.strip(), *(write(text) for write in _WRITERS)}
    return once | {write(form) for form in once for write in _WRITERS}


_WRITERS: tuple[Callable[[str], str], ...] = (
    lambda text: repr(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
)
