"""The storages under contract."""

import os
from pathlib import Path
from typing import Any

OURS = "dagster_lmdb"

# Other storages may take the place of ours, to see what the suites do there: the module and class
# of one for the whole instance. The list of skips is ours alone and is not applied then.
UNDER_CONTRACT = os.environ.get("CONTRACT_STORAGE", OURS)

#: The configurations under contract: all storages on one store, and each on a store of its own.
TOGETHER, APART = "together", "apart"


def storage_blocks(base_dir: Path, arrangement: str = TOGETHER) -> dict[str, Any]:
    """The blocks of a dagster.yaml that name the storages under contract."""
    if UNDER_CONTRACT != OURS:
        module, _, cls = UNDER_CONTRACT.rpartition(".")
        return {"storage": {"custom": _block(module, cls, base_dir)}}
    if arrangement == TOGETHER:
        return {"storage": {"custom": _block(OURS, "DagsterLmdbStorage", base_dir)}}
    return {
        "run_storage": _block(OURS, "LmdbRunStorage", base_dir / "runs"),
        "event_log_storage": _block(OURS, "LmdbEventLogStorage", base_dir / "events"),
        "schedule_storage": _block(OURS, "LmdbScheduleStorage", base_dir / "schedules"),
    }


def _block(module: str, cls: str, base_dir: Path) -> dict[str, Any]:
    return {"module": module, "class": cls, "config": {"base_dir": str(base_dir)}}
