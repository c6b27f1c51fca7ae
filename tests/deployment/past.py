"""A deployment as it was: a webserver, and a daemon if wanted, on its history up to a moment."""

from pathlib import Path
from typing import Any

from deployment.deployment import Deployment


class Past(Deployment):
    """Processes on a deployment's past, which share its code server; a context, which ends them.

    Args:
        directory: Where their ``dagster.yaml`` and what Dagster keeps beside storages is.
        present: The deployment.
        storage: The configuration of the storage.
        daemon: Whether there is a daemon too.
    """

    def __init__(
        self, directory: Path, present: Deployment, storage: dict[str, Any], daemon: bool = False
    ) -> None:
        directory.mkdir()
        super().__init__(directory)
        self.code_port = present.code_port
        self._storage = storage
        self._daemon = daemon

    def _instance(self) -> dict[str, Any]:
        instance = super()._instance()
        instance["storage"]["custom"]["config"] = self._storage
        return instance

    def _start(self) -> None:
        self._start_webserver()
        if self._daemon:
            self._start_daemon()
        self.until(self._answers, "the webserver answers")
