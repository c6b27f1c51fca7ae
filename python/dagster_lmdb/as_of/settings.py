"""The settings of a storage that say as of when, and what they must be."""

import os
from typing import Any, TypedDict

import dagster._check as check
from dagster import Field
from dagster._config import ConfigType, ConfigTypeKind
from dagster._config.errors import PostProcessingError

from dagster_lmdb._moments import FORMS, moment_of
from dagster_lmdb._sources import (
    CheckedIntSource,
    CheckedStringSource,
    check_param,
    directory_path,
    within,
)
from dagster_lmdb.as_of.view import AsOf, Opening

#: Bytes that the forks of a cache may take on disk together.
CACHE_SIZE = 10 << 30

_CACHE_SIZE = within(0, 1 << 62, "bytes")


class AsOfOptions(TypedDict):
    """The settings, as a storage is given them."""

    as_of: str | int | None
    as_of_cache_dir: str | None
    as_of_cache_size: int


class MomentSource(ConfigType):
    """A moment: a text, or a number, which YAML does not take for a text; or ``{"env": NAME}``."""

    def __init__(self) -> None:
        super().__init__(key="Moment", given_name="Moment", kind=ConfigTypeKind.ANY)

    def post_process(self, value: Any) -> str:
        if isinstance(value, dict) and list(value) == ["env"]:
            variable = str(value["env"])
            if variable not in os.environ:
                raise PostProcessingError(f"The environment variable {variable} is not set.")
            value = os.environ[variable]
        problem = moment(value)
        if problem:
            raise PostProcessingError(problem)
        return str(value)


def moment(value: Any) -> str | None:
    """Allows what ``dagster-lmdb fork --at`` takes."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            moment_of(str(value))
        except ValueError:
            pass
        else:
            return None
    return f"{value!r} is no moment: allowed are {FORMS}."


FIELDS = {
    "as_of": Field(
        MomentSource(),
        is_required=False,
        description="Show the store, read-only, as it was: a record's number, a time, or"
        " run:RUN_ID.",
    ),
    "as_of_cache_dir": Field(
        CheckedStringSource(directory_path),
        is_required=False,
        description="Where forks for as_of are kept; as_of in base_dir if not given.",
    ),
    "as_of_cache_size": Field(
        CheckedIntSource(_CACHE_SIZE),
        is_required=False,
        description="The most bytes that these forks take on disk; 10 GiB if not given.",
    ),
}


def as_of_from(base_dir: str, options: AsOfOptions, opening: Opening) -> AsOf | None:
    """What the settings ask for; None for the store as it is.

    Args:
        base_dir (str): The store's directory.
        options (AsOfOptions): The settings.
        opening (Opening): How the store is opened.

    Raises:
        ParameterCheckError: If a value is not allowed.
    """
    as_of, cache_dir = options["as_of"], options["as_of_cache_dir"]
    check_param(as_of, "as_of", moment)
    check_param(
        check.opt_str_param(cache_dir, "as_of_cache_dir"), "as_of_cache_dir", directory_path
    )
    size = check.int_param(options["as_of_cache_size"], "as_of_cache_size")
    check_param(size, "as_of_cache_size", _CACHE_SIZE)
    if as_of is None:
        return None
    directory = None if cache_dir is None else os.path.abspath(cache_dir)
    return AsOf(base_dir, str(as_of), directory, size, opening)
