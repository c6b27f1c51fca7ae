"""The configuration that every storage on a store shares.

``ConfiguredStore`` knows where a store is and how it is opened, and opens nothing. All storages
take the same configuration, so that a block of ``dagster.yaml`` moves from one to another as it is.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import dagster._check as check
from dagster import BoolSource, IntSource, StringSource
from dagster import _config as dagster_config
from dagster._config.config_schema import UserConfigSchema
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from typing_extensions import Self

Durability = Literal["durable", "relaxed"]

_DURABILITY = dagster_config.Enum(
    "Durability",
    [
        dagster_config.EnumValue("durable", description="A call returns after the flush."),
        dagster_config.EnumValue(
            "relaxed", description="A power cut may lose the last commits, and corrupts nothing."
        ),
    ],
)


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
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        check.opt_literal_param(durability, "durability", ("durable", "relaxed"))
        self._inst_data = check.opt_inst_param(inst_data, "inst_data", ConfigurableClassData)
        self._base_dir = os.path.abspath(check.str_param(base_dir, "base_dir"))
        self._options = StoreOptions(
            durability=durability,
            map_size=check.opt_int_param(map_size, "map_size"),
            max_readers=check.opt_int_param(max_readers, "max_readers"),
            allow_network_file_system=check.bool_param(
                allow_network_file_system, "allow_network_file_system"
            ),
            allow_other_pid_namespaces=check.bool_param(
                allow_other_pid_namespaces, "allow_other_pid_namespaces"
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
            "base_dir": StringSource,
            "durability": optional(_DURABILITY, "When a call returns; kept in the store."),
            "map_size": optional(IntSource, "The most bytes that the store may grow to."),
            "max_readers": optional(IntSource, "The most reads at one moment."),
            "allow_network_file_system": optional(
                BoolSource, "Open the store on a network file system all the same."
            ),
            "allow_other_pid_namespaces": optional(
                BoolSource, "Open the store beside another PID namespace all the same."
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        return cls(inst_data=inst_data, **config_value)
