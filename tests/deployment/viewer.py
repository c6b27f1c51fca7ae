"""A webserver alone on a store, without code: what a colleague opens a run with."""

from pathlib import Path

from deployment.deployment import Deployment

_VERSION = "query { version }"


class Viewer(Deployment):
    """The webserver of an instance whose store is there already; a context, which ends it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        super().__init__(directory)

    def _start(self) -> None:
        self._run(
            "webserver",
            "dagster_webserver",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.web_port),
            "--empty-workspace",
        )
        self.until(self._answers, "the webserver answers")

    def _answers(self) -> bool:
        try:
            return bool(self.ask(_VERSION))
        except OSError:
            return False
