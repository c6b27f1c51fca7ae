"""A trace read by the rules of the Trace Event Format, with nothing of the writer's.

Source: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

import json
from collections import defaultdict
from typing import Any

Event = dict[str, Any]

_COMMON = {"ph", "pid", "tid", "name"}
#: By phase: the fields that an event must have beside the common ones, and those that it may.
_FIELDS = {
    "M": ({"args"}, set[str]()),
    "X": ({"ts", "dur", "cat"}, {"args", "cname"}),
    "i": ({"ts", "s", "cat"}, {"args"}),
}
#: By the name of a metadata event: its one argument, and the type of that.
_METADATA = {
    "process_name": ("name", str),
    "process_sort_index": ("sort_index", int),
    "thread_name": ("name", str),
    "thread_sort_index": ("sort_index", int),
}
_COLOURS = {"good", "bad", "terrible", "grey", "black", "white", "yellow", "olive"}


class BrokenTraceError(AssertionError):
    """A rule of the format that a trace breaks."""


class Parsed:
    """The processes, lanes, slices and instants of a trace.

    Raises:
        BrokenTraceError: If it breaks a rule.
    """

    def __init__(self, text: str) -> None:
        whole = json.loads(text, parse_constant=_no_json)
        _rule(set(whole) == {"displayTimeUnit", "otherData", "traceEvents"}, whole.keys())
        _rule(whole["displayTimeUnit"] in ("ms", "ns"), whole["displayTimeUnit"])
        self.origin: float = whole["otherData"]["origin"]
        self.processes: dict[int, str] = {}
        self.lanes: dict[tuple[int, int], str] = {}
        self.slices: dict[tuple[int, int], list[Event]] = defaultdict(list)
        self.instants: list[Event] = []
        self._told: set[tuple[int, int, str]] = set()
        for each in whole["traceEvents"]:
            self._take(each)
        for (process, _), slices in self.slices.items():
            _rule(process in self.processes, process)
            _nest(slices)
        for lane in (*self.slices, *((each["pid"], each["tid"]) for each in self.instants)):
            _rule(lane in self.lanes, lane)

    def _take(self, each: Event) -> None:
        _rule(each.get("ph") in _FIELDS, each)
        needed, allowed = _FIELDS[each["ph"]]
        _rule(_COMMON | needed <= set(each) <= _COMMON | needed | allowed, each)
        # Perfetto takes ids of 32 bits.
        for name in ("pid", "tid"):
            _rule(type(each[name]) is int and 0 <= each[name] < 2**31, each)
        for name in ("name", "cat"):
            _rule(isinstance(each.get(name, "-"), str) and each.get(name, "-"), each)
        _rule(isinstance(each.get("args", {}), dict), each)
        for name in ("ts", "dur"):
            _rule(type(each.get(name, 0)) is int and each.get(name, 0) >= 0, each)
        lane = each["pid"], each["tid"]
        if each["ph"] == "M":
            self._name(each)
        elif each["ph"] == "X":
            _rule(each.get("cname", "good") in _COLOURS, each)
            self.slices[lane].append(each)
        else:
            _rule(each["s"] in ("t", "p", "g"), each)
            self.instants.append(each)

    def _name(self, each: Event) -> None:
        process, lane, name = each["pid"], each["tid"], each["name"]
        _rule(name in _METADATA, each)
        argument, kind = _METADATA[name]
        _rule(set(each["args"]) == {argument} and type(each["args"][argument]) is kind, each)
        told = (process, 0 if name.startswith("process") else lane, name)
        _rule(told not in self._told, each)
        self._told.add(told)
        if name == "process_name":
            self.processes[process] = each["args"]["name"]
        elif name == "thread_name":
            self.lanes[process, lane] = each["args"]["name"]

    def lane(self, process: str, name: str) -> list[Event]:
        """The outermost slices of a lane."""
        [found] = [
            lane
            for lane, its_name in self.lanes.items()
            if its_name == name and self.processes[lane[0]].startswith(process)
        ]
        return [each for each in self.slices[found] if each["depth"] == 0]


def end_of(each: Event) -> int:
    """Where a slice ends, in microseconds since the trace's first moment."""
    found: int = each["ts"] + each["dur"]
    return found


def _nest(slices: list[Event]) -> None:
    """Gives each slice what lies within it; two that overlap otherwise break a rule."""
    _rule(slices == sorted(slices, key=lambda each: each["ts"]), slices)
    open_slices: list[Event] = []
    for each in slices:
        each["within"] = []
        while open_slices and end_of(open_slices[-1]) <= each["ts"]:
            if end_of(open_slices[-1]) == each["ts"] == end_of(each):
                # An empty one at the end of another lies within it.
                break
            open_slices.pop()
        if open_slices:
            outer = open_slices[-1]
            _rule(end_of(each) <= end_of(outer), (outer, each))
            outer["within"].append(each)
        each["depth"] = len(open_slices)
        open_slices.append(each)


def _rule(kept: Any, what: object) -> None:
    if not kept:
        raise BrokenTraceError(repr(what))


def _no_json(name: str) -> None:
    raise BrokenTraceError(f"{name} is no JSON")
