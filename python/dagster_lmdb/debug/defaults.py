"""Defaults of config in the snapshot of a job, each at the paths of run config where it stands.

A job's snapshot has every type of its config once, and in it, as JSON texts, the defaults of its
fields. That is where values stand that code gives: defaults of fields, of attributes of config
classes and resources, arguments of resources that are made in code, the config of the job itself.
A field may have several paths, since types are shared, and its default may hold those of the
fields below it. The type at the root leads to the paths; what it does not reach, such as an op
below a graph that maps its config, is reached by the job's structure.

The snapshot is JSON as Dagster serializes it (``dagster._core.snap``, ``dagster._config.snap``).
"""

import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dagster_lmdb.debug.globs import ANYTHING, NUMBER, Globs

#: What stands for a text that is taken out.
#: Of characters that Dagster takes anywhere, also as the value of an asset's tag.
REPLACED = "REDACTED"

#: Names by which Dagster serializes the snapshots of a job and of a field of its config.
JOB, FIELD = "PipelineSnapshot", "ConfigFieldSnap"

#: A field's default, the text of a JSON document.
DEFAULT = "default_value_as_json_str"

Field = dict[str, Any]

_SCHEMA, _TYPES = "config_schema_snapshot", "all_config_snaps_by_key"
_OF_SCALARS = {"Int": 0, "Float": 0.0, "Bool": False}
_HASH = re.compile(r"[0-9a-f]{40}")
_OF_FIELDS = re.compile(rf"\w+\.{_HASH.pattern}")


def without_defaults(
    job: Mapping[str, Any], hidden: Globs, note: Callable[[Any], None]
) -> dict[str, Any]:
    """The snapshot of a job without the defaults of fields whose paths match.

    Such a default, or such a part of one, becomes one that its type takes, whatever it was:
    ``REDACTED``, 0, false, the first value of an enumeration, a structure of no more than what is
    required. So Dagster can make the types from the snapshot as before.

    Cost: the paths of the job's run config.

    Args:
        job (Mapping[str, Any]): The snapshot.
        hidden (Globs): Patterns of paths; one that matches takes all that is below it.
        note (Callable[[Any], None]): Is told each value that is taken out.
    """
    made = copy.deepcopy(dict(job))
    schema = _Schema(made[_SCHEMA][_TYPES], hidden, note)
    schema.redact([*_roots(made)])
    return made


def _roots(job: Mapping[str, Any]) -> Iterator[tuple[str | Field, str]]:
    """Where paths begin: types by their keys, and fields that stand with definitions."""
    for mode in job["mode_def_snaps"]:
        if mode.get("root_config_key"):
            yield mode["root_config_key"], ""
        for kind, definitions in (
            ("resources", mode["resource_def_snaps"]),
            ("loggers", mode["logger_def_snaps"]),
        ):
            for each in definitions:
                yield from _field_of(each, f"{kind}.{each['name']}")
    nodes = job["solid_definitions_snapshot"]
    definitions = {
        each["name"]: each
        for each in (*nodes["solid_def_snaps"], *nodes["composite_solid_def_snaps"])
    }
    graph = definitions.get(job.get("graph_def_name") or job["name"], {})
    yield from _field_of(graph, "ops")
    yield from _fields_of_nodes(job["dep_structure_snapshot"], definitions, "ops")


def _fields_of_nodes(
    structure: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> Iterator[tuple[Field, str]]:
    for node in structure["solid_invocation_snaps"]:
        definition = definitions.get(node["solid_def_name"], {})
        below = f"{path}.{node['solid_name']}"
        yield from _field_of(definition, below)
        if "dep_structure_snapshot" in definition:
            yield from _fields_of_nodes(
                definition["dep_structure_snapshot"], definitions, f"{below}.ops"
            )


def _field_of(definition: Mapping[str, Any], path: str) -> Iterator[tuple[Field, str]]:
    if definition.get("config_field_snap"):
        yield definition["config_field_snap"], f"{path}.config"


class _Schema:
    """The types of a job's config, and the paths at which they stand."""

    def __init__(
        self, types: dict[str, dict[str, Any]], hidden: Globs, note: Callable[[Any], None]
    ) -> None:
        self._types = types
        self._hidden = hidden
        self._note = note
        self._paths: dict[str, set[str]] = {key: set() for key in types}
        # Those that stand below a path that matches.
        self._taken: set[str] = set()

    def redact(self, roots: Sequence[tuple[str | Field, str]]) -> None:
        for root, path in roots:
            key = root if isinstance(root, str) else root["type_key"]
            self._reach(key, path, bool(path) and self._hidden(path))
        for key in self._types:
            # One without a path may be anywhere.
            if not self._paths[key] and key not in self._taken:
                self._reach(key, ANYTHING, False)
        for root, path in roots:
            if not isinstance(root, str):
                self._redact_field(root, [path], False)
        for key in self._types:
            for field in self._fields(key):
                paths = [_below(path, field["name"]) for path in self._paths[key]]
                self._redact_field(field, paths, key in self._taken)

    def _reach(self, key: str, path: str, taken: bool) -> None:
        """Notes that a type stands at a path, and those below it; or that all of it is taken."""
        if key not in self._types or key in self._taken:
            return
        if taken:
            self._taken.add(key)
        elif path in self._paths[key]:
            return
        else:
            self._paths[key].add(path)
        for inner, below in self._children(key, path):
            self._reach(inner, below, taken or self._hidden(below))

    def _children(self, key: str, path: str) -> Iterator[tuple[str, str]]:
        kind, parameters = self._kind(key), self._parameters(key)
        if kind == "ARRAY":
            yield parameters[0], f"{path}[{NUMBER}]"
        elif kind == "MAP":
            yield parameters[1], _below(path, ANYTHING)
        else:
            for inner in parameters:
                yield inner, path
        for field in self._fields(key):
            yield field["type_key"], _below(path, field["name"])

    def _redact_field(self, field: Field, paths: Sequence[str], taken: bool) -> None:
        if field[DEFAULT] is None:
            return
        before = json.loads(field[DEFAULT])
        after = self._without(before, field["type_key"], paths, taken)
        if after != before:
            field[DEFAULT] = json.dumps(after)

    def _without(self, value: Any, key: str | None, paths: Sequence[str], taken: bool) -> Any:
        """A value of a type, without what is taken out of it; its type may be unknown."""
        if taken or any(map(self._hidden, paths)):
            self._note(value)
            return self._stand_in(key)
        if isinstance(value, dict):
            return {
                name: self._without(
                    inner, self._inner(key, name), [_below(path, name) for path in paths], False
                )
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [
                self._without(
                    inner, self._inner(key, None), [f"{path}[{place}]" for path in paths], False
                )
                for place, inner in enumerate(value)
            ]
        return value

    def _inner(self, key: str | None, name: str | None) -> str | None:
        """The type of what a structure has by a name; that of a list has none."""
        if key not in self._types:
            return None
        kind, parameters = self._kind(key), self._parameters(key)
        if kind in ("NONEABLE", "SCALAR_UNION"):
            return self._inner(parameters[-1], name)
        if kind in ("ARRAY", "MAP"):
            return str(parameters[-1])
        found = (each for each in self._fields(key) if each["name"] == name)
        return next((str(each["type_key"]) for each in found), None)

    def _stand_in(self, key: str | None) -> Any:
        """What a type takes, and says nothing of what stood there."""
        if key not in self._types:
            return REPLACED
        kind, parameters = self._kind(key), self._parameters(key)
        fields = self._fields(key)
        if kind == "SCALAR":
            return _OF_SCALARS.get(key, REPLACED)
        if kind == "ENUM":
            values = self._types[key]["enum_values"]
            return values[0]["value"] if values else REPLACED
        if kind == "NONEABLE":
            return self._stand_in(parameters[0])
        if kind == "SCALAR_UNION":
            return REPLACED if parameters[0] == "String" else self._stand_in(parameters[1])
        if kind == "SELECTOR":
            return {each["name"]: self._stand_in(each["type_key"]) for each in fields[:1]}
        if kind in ("STRICT_SHAPE", "PERMISSIVE_SHAPE"):
            required = (each for each in fields if each["is_required"])
            return {each["name"]: self._stand_in(each["type_key"]) for each in required}
        return {"ARRAY": [], "MAP": {}}.get(kind, REPLACED)

    def _fields(self, key: str) -> Sequence[Field]:
        return self._types[key]["fields"] or []

    def _parameters(self, key: str) -> Sequence[str]:
        return self._types[key]["type_param_keys"] or []

    def _kind(self, key: str) -> str:
        return str(self._types[key]["kind"]["__enum__"]).removeprefix("ConfigTypeKind.")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def with_new_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The redacted snapshot of a job, with new keys for its types that are not what they were.

    A key is made of the hash of a type's fields, their defaults among them, from which one that is
    short or a word can be found by trial.

    Args:
        before (Mapping[str, Any]): The snapshot of the job.
        after (Mapping[str, Any]): The same without what is redacted.
    """
    types, changed = before[_SCHEMA][_TYPES], after[_SCHEMA][_TYPES]
    keys = {key.partition(".")[2]: key for key in types if _OF_FIELDS.fullmatch(key)}
    found: dict[str, str] = {}

    def current(old: str) -> str:
        if old in keys and old not in found:
            content = json.dumps({**changed.get(keys[old], {}), "key": None})
            content = _HASH.sub(lambda match: current(match[0]), content)
            same = content == json.dumps({**types[keys[old]], "key": None})
            found[old] = old if same else hashlib.sha1(content.encode()).hexdigest()
        return found.get(old, old)

    made: dict[str, Any] = json.loads(_HASH.sub(lambda match: current(match[0]), json.dumps(after)))
    return made
