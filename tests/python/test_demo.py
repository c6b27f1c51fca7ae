"""What ``make demo`` shows fits a terminal of 80 columns."""

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "demo.py"
    spec = importlib.util.spec_from_file_location("demo", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_header_and_no_number_of_the_comparison_is_cut(demo: ModuleType) -> None:
    outcome = demo.Outcome("a run", 123.4, 1234.5, 12_345, 1 << 30)
    console = Console(width=80, file=io.StringIO())
    console.print(demo.comparison({"SQLite": outcome, "LMDB": outcome}))
    shown = console.file.getvalue()
    assert "…" not in shown
    for text in ("second", "event", "disk", "123.4", "1234.5", "12,345", "1,048,576", "86,978"):
        assert text in shown
