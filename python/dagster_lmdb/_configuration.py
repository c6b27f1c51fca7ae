"""The configuration that every storage on a store shares.

``ConfiguredStore`` knows where a store is and how it is opened, and opens nothing. All storages
take the same configuration, so that a block of ``dagster.yaml`` moves from one to another as it is.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_args

import dagster._check as check
from dagster import _config as dagster_config
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from typing_extensions import Self

from dagster_lmdb._sources import (
    CheckedBoolSource,
    CheckedIntSource,
    CheckedStringSource,
    check_param,
    directory_path,
    one_of,
    within,
)
from dagster_lmdb.as_of.settings import CACHE_SIZE, FIELDS, AsOfOptions, as_of_from
from dagster_lmdb.as_of.view import Opening

Durability = Literal["durable", "relaxed"]

_DURABILITY = one_of(get_args(Durability))
# The least is what an empty store and its first commits take; the most, what a process can address.
_MAP_SIZE = within(1 << 20, 1 << 47, "bytes")
# The file of slots is written when it is made, 64 bytes a slot.
_MAX_READERS = within(1, 1 << 20, "reads")


class StoreOptions(TypedDict):
    """The keyword arguments of ``EventLog`` that configuration sets."""

    durability: Durability | None
    map_size: int | None
    max_readers: int | None
    allow_network_file_system: bool
    allow_other_pid_namespaces: bool


class ConfiguredStore(ConfigurableClass):
    """Where a store is, and how it is opened."""

    def __init__(
        self,
        base_dir: str,
        durability: Durability | None = None,
        map_size: int | None = None,
        max_readers: int | None = None,
        allow_network_file_system: bool = False,
        allow_other_pid_namespaces: bool = False,
        as_of: str | int | None = None,
        as_of_cache_dir: str | None = None,
        as_of_cache_size: int = CACHE_SIZE,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        check.opt_literal_param(durability, "durability", get_args(Durability))
        check_param(check.opt_int_param(map_size, "map_size"), "map_size", _MAP_SIZE)
        check_param(check.opt_int_param(max_readers, "max_readers"), "max_readers", _MAX_READERS)
        check_param(check.str_param(base_dir, "base_dir"), "base_dir", directory_path)
        self._inst_data = check.opt_inst_param(inst_data, "inst_data", ConfigurableClassData)
        self._base_dir = os.path.abspath(base_dir)
        self._options = StoreOptions(
            durability=durability,
            map_size=map_size,
            max_readers=max_readers,
            allow_network_file_system=check.bool_param(
                allow_network_file_system, "allow_network_file_system"
            ),
            allow_other_pid_namespaces=check.bool_param(
                allow_other_pid_namespaces, "allow_other_pid_namespaces"
            ),
        )
        self._as_of = as_of_from(
            self._base_dir,
            AsOfOptions(
                as_of=as_of, as_of_cache_dir=as_of_cache_dir, as_of_cache_size=as_of_cache_size
            ),
            Opening(
                max_readers=max_readers,
                allow_network_file_system=allow_network_file_system,
                allow_other_pid_namespaces=allow_other_pid_namespaces,
            ),
        )
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        def optional(config: Any, description: str) -> dagster_config.Field:
            return dagster_config.Field(config, is_required=False, description=description)

        return {
            "base_dir": dagster_config.Field(
                CheckedStringSource(directory_path),
                description="The directory of the store, on a local file system.",
            ),
            "durability": optional(
                CheckedStringSource(_DURABILITY),
                "durable: a call returns after the flush. relaxed: a power cut may lose the last "
                "commits, and corrupts nothing. Kept in the store.",
            ),
            "map_size": optional(
                CheckedIntSource(_MAP_SIZE), "The most bytes that the store may grow to."
            ),
            "max_readers": optional(
                CheckedIntSource(_MAX_READERS), "The most reads at one moment, over all processes."
            ),
            "allow_network_file_system": optional(
                CheckedBoolSource(), "Open the store on a network file system all the same."
            ),
            "allow_other_pid_namespaces": optional(
                CheckedBoolSource(), "Open the store beside another PID namespace all the same."
            ),
            **FIELDS,
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(inst_data=inst_data, **config_value)
