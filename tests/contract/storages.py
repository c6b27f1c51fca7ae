"""The event log under contract."""

import os
from pathlib import Path
from typing import Any

OURS = "dagster_lmdb.LmdbEventLogStorage"

# Another storage may take the place of ours, to see what the suite does there. The list of skips
# is ours alone and is not applied then.
UNDER_CONTRACT = os.environ.get("CONTRACT_STORAGE", OURS)


def event_log_block(base_dir: Path) -> dict[str, Any]:
    """The block ``event_log_storage`` of a dagster.yaml, with the storage under contract."""
    module, _, cls = UNDER_CONTRACT.rpartition(".")
    return {"module": module, "class": cls, "config": {"base_dir": str(base_dir)}}
