"""Every error type: when it is raised, that nothing was stored then, and how to go on."""

import importlib
from pathlib import Path
from types import ModuleType

import dagster_lmdb._export.errors
import dagster_lmdb.as_of.errors
import dagster_lmdb.debug.errors
import dagster_lmdb.errors
from dagster_lmdb import _core
from dagster_lmdb.errors import LmdbStoreError
from engine.errors.covering import TESTED


def test_every_error_type_has_a_test() -> None:
    for path in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"engine.errors.{path.stem}")
    types = errors_of(_core)
    assert types
    assert all(issubclass(each, LmdbStoreError) for each in types)
    assert types == TESTED
    public = {getattr(dagster_lmdb.errors, name) for name in dagster_lmdb.errors.__all__}
    others = (
        dagster_lmdb.debug.errors,
        dagster_lmdb.as_of.errors,
        dagster_lmdb._export.errors,
    )
    assert types.union(*map(errors_of, others)) == public


def errors_of(module: ModuleType) -> set[type[Exception]]:
    return {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception)
    }
