"""The gates of our own: each must be able to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import check_layers
import check_sizes
import lint
import pytest
from rust_source import without_tests_and_comments


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty house, which the checks take for the repository."""
    monkeypatch.setattr(check_layers, "ROOT", tmp_path)
    monkeypatch.setattr(check_sizes, "ROOT", tmp_path)
    return tmp_path


def package(house: Path, name: str, source: str, **dependencies: str | None) -> dict[str, Any]:
    """A crate as Cargo describes it; a dependency's value is its kind."""
    folder = house / "crates" / name
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").write_text(source)
    return {
        "name": f"wirewright-{name}",
        "manifest_path": str(folder / "Cargo.toml"),
        "targets": [{"kind": ["lib"], "src_path": str(folder / "src" / "lib.rs")}],
        "dependencies": [{"name": other, "kind": kind} for other, kind in dependencies.items()],
    }


def test_a_crate_in_order_passes(house: Path) -> None:
    crate = package(
        house, "protocol", "#![forbid(unsafe_code)]\n", **{"wirewright-aead": None, "rand_core": None}
    )
    assert check_layers.check(crate) == []


def test_an_arrow_that_points_up_is_a_breach(house: Path) -> None:
    crate = package(house, "protocol", "#![forbid(unsafe_code)]\n", **{"wirewright-engine": None})
    (breach,) = check_layers.check(crate)
    assert "protocol depends on engine" in breach


def test_an_arrow_that_points_up_in_tests_only_is_a_breach_too(house: Path) -> None:
    crate = package(house, "aead", "", **{"wirewright-protocol": "dev"})
    assert len(check_layers.check(crate)) == 1


def test_a_crate_without_io_may_not_name_a_system_crate(house: Path) -> None:
    crate = package(house, "engine", "#![forbid(unsafe_code)]\n", rustix=None)
    (breach,) = check_layers.check(crate)
    assert "rustix" in breach


def test_unsafe_must_be_forbidden_where_it_is_not_needed(house: Path) -> None:
    (breach,) = check_layers.check(package(house, "engine", "//! No attribute.\n"))
    assert "forbid(unsafe_code)" in breach
    assert check_layers.check(package(house, "runtime", "//! No attribute.\n")) == []


def test_a_crate_without_a_place_in_the_house_is_a_breach(house: Path) -> None:
    (breach,) = check_layers.check(package(house, "attic", "#![forbid(unsafe_code)]\n"))
    assert "attic" in breach


@pytest.mark.parametrize(
    "line",
    [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use std::{\n    fmt,\n    thread,\n};",
        "let now = Instant::now();",
        "use std::time::{Duration, Instant};",
        "std::time::SystemTime::now()",
        "use std::net::UdpSocket;",
        "use std::net::{IpAddr, TcpStream};",
        "std::thread::spawn(work);",
        "let home = std::env::var(name);",
        "std::process::abort();",
        "use rustix::net::socket;",
    ],
)
def test_a_crate_without_io_may_not_say(house: Path, line: str) -> None:
    crate = package(house, "engine", f"#![forbid(unsafe_code)]\n{line}\n")
    assert [breach for breach in check_layers.check(crate) if "crates/engine/src/lib.rs:2: " in breach]
    assert check_layers.check(package(house, "runtime", line)) == []


@pytest.mark.parametrize(
    "line",
    [
        "// Instant::now() is read by the runtime.",
        "/* std::fs */",
        'let text = "std::fs";',
        "use std::net::{IpAddr, SocketAddr};",
        "use wirewright_protocol::Instant;",
        "use std::sync::Arc;",
        "use rustix::io::Errno;",
        '#[cfg(test)]\nmod tests {\n    use std::thread;\n    fn f() { std::fs::read("}"); }\n}',
    ],
)
def test_a_crate_without_io_may_say(house: Path, line: str) -> None:
    crate = package(house, "engine", f"#![forbid(unsafe_code)]\n{line}\n")
    assert check_layers.check(crate) == []


def test_files_included_for_tests_only_are_not_read(house: Path) -> None:
    package(house, "engine", "#[cfg(test)]\nmod weather;\n#[cfg(all(test, unix))]\nmod tests;\nmod table;\n")
    source = house / "crates" / "engine" / "src"
    (source / "tests").mkdir()
    for name in ("weather.rs", "tests/mod.rs", "tests/pair.rs", "table.rs"):
        (source / name).write_text("use std::fs;\n")
    read = {
        name
        for name in ("weather.rs", "tests/mod.rs", "tests/pair.rs", "table.rs")
        if without_tests_and_comments(source / name)
    }
    assert read == {"table.rs"}


def test_what_follows_a_test_module_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "lib.rs"
    path.write_text("#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nuse std::fs;\n")
    assert without_tests_and_comments(path).splitlines()[4] == "use std::fs;"


def test_a_lifetime_is_not_taken_for_the_start_of_a_character(tmp_path: Path) -> None:
    path = tmp_path / "lib.rs"
    path.write_text("fn f<'a>(x: &'a str, q: char) -> &'a str { if q == '\"' { x } else { std::fs } }\n")
    assert "std::fs" in without_tests_and_comments(path)


def test_a_file_of_more_than_600_lines_is_a_breach(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = house / "long.py"
    monkeypatch.setattr(check_sizes, "sources", lambda: [path])
    path.write_text("\n" * 600)
    assert check_sizes.main() == 0
    path.write_text("\n" * 601)
    assert check_sizes.main() == 1
    assert "long.py: 601 lines" in capsys.readouterr().err


def test_a_gate_that_fails_fails_the_lint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        lint, "GATES", {"good": ["true"], "bad": ["sh", "-c", "echo why; exit 1"], "last": ["true"]}
    )
    assert lint.main([]) == 1
    said = capsys.readouterr().out
    assert "why" in said
    assert "1 of 3 gates failed: bad" in said
    assert lint.main(["good", "last"]) == 0
