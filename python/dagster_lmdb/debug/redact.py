"""Chosen values taken out of serialized objects before they leave.

What is chosen is found where it stands by name: tags by their keys, config and its defaults by
their paths, metadata by its labels. It is replaced there, whatever it is. Texts among it, also of a
JSON document that is a text, are then replaced wherever else they stand, in any text of any object:
messages, errors, stacks, tags written out by Dagster. So are the forms in which Python, JSON and
URLs write them, and numbers where a text has them as a word. What is shorter than ``SHORTEST``
characters is replaced by name alone, since it stands everywhere; so are the ids of the runs that
leave, by which all is found, and defaults of Dagster's own.

The objects are JSON as Dagster serializes them, which is walked without knowing its classes.
"""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote, quote_plus

from dagster_lmdb.debug.defaults import DEFAULT, FIELD, JOB, REPLACED, without_defaults
from dagster_lmdb.debug.globs import Globs

SHORTEST = 4

#: Texts among the defaults of every job's config, those of Dagster's own loggers and executors.
OWN_DEFAULTS = frozenset(("dagster", "INFO"))

# What says of an object what it is, and no more.
_MARKS = frozenset(("__class__", "__enum__"))
_TAGS = frozenset(("tags", "run_tags", "logging_tags", "pipeline_tags", "job_tags"))
# A tag of a step, in a list of them.
_ITEM = "ExecutionPlanMetadataItemSnap"
_CONFIG = "run_config"
# How a run's code location is launched, by what its deployment configures.
_CONTEXT = "container_context"
_VARIABLE = re.compile(r"[A-Za-z_]\w*=(.+)", re.DOTALL)


class Redaction:
    """Patterns of names, and the texts that were found by them.

    A pattern is a glob, matched in whole and whatever the case: ``*password*``. One of config
    matches a path (``ops.load.config.token``) and all that is below it, in run config and in the
    schema of a job's config; paths in a container context begin with ``container_context``.

    Args:
        tags (Sequence[str]): Patterns of the keys of tags.
        config (Sequence[str]): Patterns of paths in config.
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
        self._tags, self._config, self._metadata = map(Globs, (tags, config, metadata))
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
        if value.get("__class__") == _ITEM:
            [tag] = self._named({value["key"]: value["value"]}, self._tags).values()
            return {**value, "value": tag}
        if value.get("__class__") == JOB:
            value = without_defaults(value, self._config, self._note_default)
        found: dict[str, Any] = {}
        for key, inner in value.items():
            if key in _TAGS and isinstance(inner, dict):
                found[key] = self._named(inner, self._tags)
            elif key == _CONFIG and isinstance(inner, dict):
                found[key] = self._config_of(inner, "")
            elif key == _CONTEXT and isinstance(inner, dict):
                found[key] = {
                    name: self._config_of(each, f"{_CONTEXT}.{name}")
                    for name, each in inner.items()
                }
            elif self._metadata(key) and _is_metadata(inner):
                self._note(inner)
                found[key] = {"__class__": "TextMetadataEntryData", "text": REPLACED}
            else:
                found[key] = self._by_name(inner)
        return found

    def _named(self, tags: dict[str, Any], matches: Globs) -> dict[str, Any]:
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

    def _note_default(self, value: Any) -> None:
        self._note(value, OWN_DEFAULTS)

    def _note(self, value: Any, kept: Collection[str] = ()) -> None:
        found = {
            each
            for each in _leaves(value)
            if len(str(each).strip()) >= SHORTEST and each not in self._kept and each not in kept
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
            kind = value.get("__class__")
            return {
                # The names of an object's fields are Dagster's.
                self._anywhere.sub(REPLACED, key) if kind is None else key: inner
                if key in _MARKS
                else self._default(inner)
                if kind == FIELD and key == DEFAULT and inner is not None
                else self._everywhere(inner)
                for key, inner in value.items()
            }
        return value

    def _default(self, text: str) -> str:
        """A default that stays what it is, a JSON document."""
        before = json.loads(text)
        after = self._everywhere(before)
        return text if after == before else json.dumps(after)


def _is_metadata(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("__class__", "")).endswith(
        ("MetadataEntryData", "MetadataValue")
    )


def _leaves(value: Any) -> Iterator[str | int | float]:
    """Every text and number in a value but the names of its fields and classes.

    Of config that names a variable of the environment also what that is here, if it is set, and of
    lists of such variables what they are set to.
    """
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield value
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            with suppress(ValueError, RecursionError):
                yield from _leaves(json.loads(value))
    elif isinstance(value, list):
        for each in value:
            yield from _leaves(each)
            if isinstance(each, str) and (variable := _VARIABLE.fullmatch(each)):
                yield variable[1]
    elif isinstance(value, dict):
        if value.keys() == {"env"} and isinstance(value["env"], str):
            # A copy takes any text for a name; the environment only what can be one.
            yield os.environ.copy().get(value["env"], "")
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
    """A text, and how it is written within texts that are Python, JSON or URLs.

    Python and JSON also write what is written so already.
    """
    once = {text, text.strip(), *(write(text) for write in _WRITERS)}
    twice = {write(form) for form in once for write in _WRITERS}
    return once | twice | {write(text) for write in _URL_WRITERS}


_WRITERS: tuple[Callable[[str], str], ...] = (
    lambda text: repr(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
)

_URL_WRITERS: tuple[Callable[[str], str], ...] = (
    partial(quote, errors="surrogatepass"),
    partial(quote, errors="surrogatepass", safe=""),
    partial(quote_plus, errors="surrogatepass"),
)
