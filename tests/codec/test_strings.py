"""Strings that are read: of any length and alphabet, the same whatever was read before."""

import sys
from collections.abc import Iterator

import pytest

from dagster_lmdb._core import ShapeTable

#: Around the lengths up to which strings are kept, and from which on they are copied otherwise.
LENGTHS = [0, 1, 7, 8, 9, 47, 48, 49, 255, 256, 257, 100_000]
ALPHABETS = ["a", "ab", "\x00", "\x7f", "é", "aé", "日本", "a😀", "\x80", "\xff"]


def texts() -> Iterator[str]:
    for alphabet in ALPHABETS:
        for length in LENGTHS:
            yield (alphabet * length)[:length]


@pytest.mark.parametrize("as_key", [False, True], ids=["value", "key"])
def test_strings_of_any_length_and_alphabet_come_back(as_key: bool) -> None:
    shapes = ShapeTable()
    for _ in range(2):
        for text in texts():
            value = {text: 1} if as_key else [text, text]
            found = shapes.decode(shapes.encode(value))
            assert found == value
            string = next(iter(found))
            assert type(string) is str
            # As Python makes it: one with wider characters would be another to C code.
            assert sys.getsizeof(string) == sys.getsizeof((text + "?")[:-1])
            assert hash(string) == hash(text)


def test_more_strings_than_are_kept_and_strings_alike_come_back() -> None:
    """What was kept gives way, and nothing is taken for what only resembles it."""
    shapes = ShapeTable()
    many = [f"{prefix}{number}" for number in range(10_000) for prefix in ("", "step_", "\x00")]
    alike = ["a" * length + "\x00" * zeros for length in range(48) for zeros in range(48)]
    for values in (many, alike, many[::-1], alike[::-1]):
        assert shapes.decode(shapes.encode(values)) == values
        bodies = [shapes.encode(value) for value in values]
        assert shapes.decode_page(bodies) == values
        assert [shapes.decode(body) for body in bodies[:500]] == values[:500]
