"""Types of the values in a configuration that say which values are allowed.

They are Dagster's own sources, so a value may stand in an environment variable (``env: NAME``).
What they refuse is an error of Dagster's configuration with the setting, the value, and what is
allowed.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import dagster._check as check
from dagster._config.errors import PostProcessingError
from dagster._config.source import BoolSourceType, IntSourceType, StringSourceType

_Value = TypeVar("_Value")

Refusal = Callable[[_Value], str | None]
"""Says what is wrong with a value; None for one that is allowed."""


class CheckedIntSource(IntSourceType):
    """An integer that is looked at before it is taken."""

    def __init__(self, refusal: Refusal[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._refusal = refusal

    def post_process(self, value: object) -> int:
        given: int = super().post_process(value)  # type: ignore[no-untyped-call]
        return _taken(self._refusal, given)


class CheckedStringSource(StringSourceType):
    """A string that is looked at before it is taken."""

    def __init__(self, refusal: Refusal[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._refusal = refusal

    def post_process(self, value: object) -> str:
        given: str = super().post_process(value)  # type: ignore[no-untyped-call]
        return _taken(self._refusal, given)


class CheckedBoolSource(BoolSourceType):
    """A boolean; in an environment variable, a word for one. Dagster takes "no" for true."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def post_process(self, value: object) -> bool:
        given: bool = super().post_process(value)  # type: ignore[no-untyped-call]
        if isinstance(value, Mapping):
            text = os.environ[value["env"]]
            if text.lower() not in {"true", "1", "false", "0", "none", ""}:
                raise PostProcessingError(f"{text!r} is unknown: allowed are true, 1, false, 0.")
        return given


def _taken(refusal: Refusal[_Value], value: _Value) -> _Value:
    problem = refusal(value)
    if problem:
        raise PostProcessingError(problem)
    return value


def within(least: int, most: int, unit: str) -> Refusal[int]:
    """Allows integers within bounds, both included."""

    def refusal(value: int) -> str | None:
        if least <= value <= most:
            return None
        return f"{value} is out of range: allowed are {least} to {most} {unit}."

    return refusal


def one_of(choices: Sequence[str]) -> Refusal[str]:
    """Allows some words."""

    def refusal(value: str) -> str | None:
        if value in choices:
            return None
        return f"{value!r} is unknown: allowed are {', '.join(choices)}."

    return refusal


def directory_path(value: str) -> str | None:
    """Allows what may be the path of a directory."""
    if not value:
        return "It is empty: allowed is the path of a directory."
    if "\0" in value:
        return f"{value!r} has a zero byte in it: allowed is the path of a directory."
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        return f"{value!r} cannot be a path ({error.reason}): allowed is the path of a directory."
    return None


def check_param(value: _Value | None, name: str, refusal: Refusal[_Value]) -> None:
    """What Dagster's checks do for a parameter, by the rule of its setting; None is left alone.

    Raises:
        ParameterCheckError: If the value is not allowed.
    """
    problem = None if value is None else refusal(value)
    check.param_invariant(problem is None, name, problem)
