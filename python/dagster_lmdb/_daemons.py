"""What daemons leave for others and for themselves: heartbeats and cursor values.

Both overwrite themselves all day. A value that is set again to what it is appends nothing.
"""

from collections.abc import Mapping

import dagster._check as check
from dagster._daemon.types import DaemonHeartbeat
from dagster._time import get_current_datetime

from dagster_lmdb._arguments import seconds
from dagster_lmdb._run_base import ReadsRuns

# Keys of values that daemons set as they start and look for events, and that nobody else sets.
_UPKEEP = ("EVENT_LOG_CONSUMER_CURSOR", "MIGRATED_")


class KnowsDaemons(ReadsRuns):
    """The part of ``RunStorage`` that is about daemons."""

    def add_daemon_heartbeat(self, daemon_heartbeat: DaemonHeartbeat) -> None:
        check.inst_param(daemon_heartbeat, "daemon_heartbeat", DaemonHeartbeat)
        if self._drops("add_daemon_heartbeat"):
            return
        self._log.put_documents(
            "heartbeat",
            [(None, daemon_heartbeat.daemon_type, None, [], daemon_heartbeat)],
            "upsert",
            seconds(get_current_datetime()),
        )

    def get_daemon_heartbeats(self) -> Mapping[str, DaemonHeartbeat]:
        return {each.key: each.value for each in self._log.find_documents("heartbeat")}

    def wipe_daemon_heartbeats(self) -> None:
        self._log.wipe_spaces(["heartbeat"], seconds(get_current_datetime()))

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        check.set_param(keys, "keys", of_type=str)
        found = self._log.find_documents("cursor_value", keys=list(keys))
        return {each.key: each.value for each in found}

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Set the values of keys, all in one commit."""
        check.mapping_param(pairs, "pairs", key_type=str, value_type=str)
        if all(key.startswith(_UPKEEP) for key in pairs) and self._drops("set_cursor_values"):
            return
        self._log.put_documents(
            "cursor_value",
            [(None, key, None, [], value) for key, value in pairs.items()],
            "upsert",
            seconds(get_current_datetime()),
        )
