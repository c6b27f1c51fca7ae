"""Whether a secret stands in a capsule, however it is written."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def decompressed(path: Path) -> bytes:
    """Every byte of a capsule, its names and its comment included."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        parts = [archive.read(name) for name in names]
        return b"\n".join([*parts, *(name.encode() for name in names), archive.comment])


def forms(secret: str) -> list[bytes]:
    """How a secret may be written."""
    texts = [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret)]
    texts += [json.dumps(text)[1:-1] for text in texts]
    texts += [json.dumps(secret, ensure_ascii=False)[1:-1]]
    return [text.encode() for text in texts]


def traces(path: Path, secrets: Iterable[str]) -> set[str]:
    """Those of the secrets that stand in a capsule."""
    content = decompressed(path)
    return {secret for secret in secrets if any(form in content for form in forms(secret))}
