"""Topologies in TOML files. Tables and keys are named as the fields of the values they become.

[[links]]
left = { host = "home", addresses = ["192.168.1.2/24"] }
right = { host = "router", addresses = ["192.168.1.1/24"] }
rate = { bits = 20_000_000 }

[hosts.home]
routes = [{ to = "default", via = "192.168.1.1" }]
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from wirewright.lab.topology import End, Host, Link, Nat, Rate, Route, Topology, TopologyError, Weather

_T = TypeVar("_T")


def read_topology(path: Path) -> Topology:
    """Read a file; `TopologyError` says what is wrong with it, and where."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise TopologyError(f"{path}: this is no text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(f"{path}: {error}") from None
    try:
        return _topology(data)
    except TopologyError as error:
        raise TopologyError(f"{path}: {error}") from None


def _topology(data: dict[str, Any]) -> Topology:
    for name in data:
        if name not in {"links", "hosts"}:
            raise TopologyError(f"{name}: only [[links]] and [hosts.NAME] are known here")
    links = data.get("links", [])
    hosts = data.get("hosts", {})
    if not isinstance(links, list) or not isinstance(hosts, dict):
        raise TopologyError("links are written [[links]], hosts [hosts.NAME]")
    return Topology(
        links=tuple(_link(f"links[{number}]", table) for number, table in enumerate(links)),
        hosts=tuple(_host(f"hosts.{name}", name, table) for name, table in hosts.items()),
    )


def _link(where: str, table: object) -> Link:
    fields = _fields(where, table)
    for side in ("left", "right"):
        if side in fields:
            fields[side] = _make(f"{where}.{side}", End, fields[side], lists=("addresses",))
    if "rate" in fields:
        fields["rate"] = _make(f"{where}.rate", Rate, fields["rate"])
    if "weather" in fields:
        fields["weather"] = _make(f"{where}.weather", Weather, fields["weather"])
    return _make(where, Link, fields)


def _host(where: str, name: str, table: object) -> Host:
    fields = _fields(where, table)
    if "nat" in fields:
        fields["nat"] = _make(f"{where}.nat", Nat, fields["nat"])
    routes = fields.get("routes", [])
    if not isinstance(routes, list):
        raise TopologyError(f"{where}.routes must be a list of tables")
    fields["routes"] = tuple(
        _make(f"{where}.routes[{number}]", Route, route) for number, route in enumerate(routes)
    )
    return _make(where, Host, {**fields, "name": name})


def _fields(where: str, table: object) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise TopologyError(f"{where} must be a table")
    return dict(table)


# What TOML has for the annotations of our fields.
_TYPES: dict[object, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    int | None: (int,),
    float: (int, float),
    str: (str,),
}


def _make(where: str, kind: type[_T], table: object, *, lists: tuple[str, ...] = ()) -> _T:
    """Make a value from a table whose keys are its fields."""
    values = _fields(where, table)
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise TopologyError(f"{where}.{name}: not known here; known are {', '.join(known)}")
        if name in lists:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise TopologyError(f"{where}.{name} must be a list of texts")
            values[name] = tuple(value)
        expected = _TYPES.get(known[name].type)
        if expected and (
            not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected)
        ):
            raise TopologyError(f"{where}.{name} must be {expected[-1].__name__}, not {value!r}")
    for name, field in known.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise TopologyError(f"{where} has no {name}")
    try:
        return kind(**values)
    except TopologyError as error:
        raise TopologyError(f"{where}: {error}") from None
