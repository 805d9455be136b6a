"""systemd-resolved over D-Bus, which answers rightly, wrongly, or not at all."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bus import NAME, Fake, daemon
from wirewright.host.resolver import choose, resolvconf, resolved
from wirewright.host.resolver.resolved import Resolved

SERVERS = [ip_address("9.9.9.9"), ip_address("2620:fe::fe")]
DOMAINS = ["example.com", "corp.example"]
SET = [
    ("SetLinkDNS", "ia(iay)", [7, [(2, bytes((9, 9, 9, 9))), (10, SERVERS[1].packed)]]),
    ("SetLinkDomains", "ia(sb)", [7, [("example.com", False), ("corp.example", False), (".", True)]]),
    ("SetLinkDefaultRoute", "ib", [7, True]),
]
REVERT = ("RevertLink", "i", [7])
STUB = "# by systemd-resolved\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with daemon(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def service(address: str) -> Iterator[Fake]:
    with Fake(address).running() as fake:
        yield fake


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text(STUB)
    monkeypatch.setattr(resolved, "RESOLV_CONF", path)
    return path


def set_up() -> None:
    Resolved().set("wg0", 7, SERVERS, DOMAINS)


def test_an_interface_s_servers_are_asked_for_all_names(service: Fake) -> None:
    set_up()
    assert service.calls == SET


def test_what_was_set_is_unset(service: Fake) -> None:
    Resolved().unset("wg0", 7)
    assert service.calls == [REVERT]


def test_of_an_interface_that_is_gone_nothing_is_asked(service: Fake) -> None:
    Resolved().unset("wg0", 0)
    assert service.calls == []


def test_without_servers_nothing_is_asked(service: Fake) -> None:
    Resolved().set("wg0", 7, [], DOMAINS)
    assert service.calls == []


def test_a_caller_may_have_an_event_loop(service: Fake) -> None:
    async def main() -> None:
        set_up()

    asyncio.run(main())
    assert service.calls == SET


def test_one_too_old_for_default_routes_has_the_root_domain(service: Fake) -> None:
    service.errors["SetLinkDefaultRoute"] = ("org.freedesktop.DBus.Error.UnknownMethod", "what?")
    set_up()
    assert service.calls == SET


def test_values_that_no_method_should_return_are_passed_over(service: Fake) -> None:
    service.returns["SetLinkDNS"] = ("s", ["hello"])
    service.returns["RevertLink"] = ("a{sv}", [{}])
    set_up()
    Resolved().unset("wg0", 7)
    assert service.calls == [*SET, REVERT]


@pytest.mark.parametrize(
    ("error", "number", "words"),
    [
        (f"{NAME}.NoSuchLink", errno.ENODEV, "systemd-resolved knows no such interface"),
        (f"{NAME}.LinkBusy", errno.EBUSY, "systemd-networkd manages this interface"),
        ("org.freedesktop.DBus.Error.AccessDenied", errno.EPERM, "to change DNS servers takes root"),
        ("org.freedesktop.DBus.Error.InvalidArgs", errno.EIO, "systemd-resolved refuses: bad"),
        ("org.example.Odd", errno.EIO, "systemd-resolved refuses: bad"),
    ],
)
@pytest.mark.parametrize("at", range(3))
def test_a_refusal_takes_back_what_was_done_and_is_told(
    service: Fake, error: str, number: int, words: str, at: int
) -> None:
    service.errors[SET[at][0]] = (error, "bad")
    with pytest.raises(OSError, match=words) as caught:
        set_up()
    assert caught.value.errno == number
    assert caught.value.filename == "wg0"
    assert service.calls == [*SET[: at + 1], REVERT]


@pytest.mark.parametrize("error", [f"{NAME}.NoSuchLink", "org.freedesktop.DBus.Error.ServiceUnknown"])
def test_to_unset_what_is_not_there_is_silent(service: Fake, error: str) -> None:
    service.errors["RevertLink"] = (error, "no")
    Resolved().unset("wg0", 7)
    assert service.calls == [REVERT]


def test_a_refusal_to_unset_is_told(service: Fake) -> None:
    service.errors["RevertLink"] = (f"{NAME}.LinkBusy", "busy")
    with pytest.raises(OSError, match="systemd-networkd manages this interface"):
        Resolved().unset("wg0", 7)


@pytest.mark.parametrize("at", range(3))
def test_who_does_not_answer_is_given_up_and_told_to_take_it_back(
    service: Fake, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(resolved, "PATIENCE", 2.0)
    service.silent.add(SET[at][0])
    with pytest.raises(TimeoutError, match="does not answer within 2 s"):
        set_up()
    assert service.calls == [*SET[: at + 1], REVERT]


def test_who_never_answers_again_keeps_nobody_for_ever(
    service: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolved, "PATIENCE", 1.0)
    monkeypatch.setattr(resolved, "UNDOING", 1.0)
    service.silent |= {"SetLinkDNS", "RevertLink"}
    with pytest.raises(TimeoutError, match="does not answer within 1 s"):
        set_up()


def test_one_that_leaves_amid_a_call_is_told(service: Fake) -> None:
    service.leaves_at = "SetLinkDomains"
    with pytest.raises(OSError, match="systemd-resolved") as caught:
        set_up()
    assert service.calls == SET[:2]
    assert caught.value.errno in (errno.EIO, errno.ESRCH)


def test_one_that_is_not_running_is_told(address: str) -> None:
    with pytest.raises(OSError, match="systemd-resolved is not running"):
        set_up()
    Resolved().unset("wg0", 7)


def test_a_bus_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'none'}")
    with pytest.raises(FileNotFoundError, match="the system's D-Bus cannot be reached: No such file"):
        set_up()


def test_it_is_chosen_if_it_runs_and_is_asked(service: Fake, resolv_conf: Path) -> None:
    assert choose().name == "systemd-resolved"


@pytest.mark.parametrize("others", ["nameserver 192.0.2.53\n", STUB + "nameserver 192.0.2.53\n", "", None])
def test_it_is_not_chosen_if_others_are_asked(
    service: Fake, resolv_conf: Path, monkeypatch: pytest.MonkeyPatch, others: str | None
) -> None:
    resolv_conf.unlink()
    if others is not None:
        resolv_conf.write_text(others)
    monkeypatch.setattr(resolvconf, "find", lambda: None)
    with pytest.raises(
        OSError, match="does not lead to systemd-resolved, and there is no resolvconf"
    ) as caught:
        choose()
    assert "install openresolv" in str(caught.value)
    monkeypatch.setattr(resolvconf, "find", lambda: "/sbin/resolvconf")
    assert choose().name == "resolvconf"


def test_it_is_not_chosen_if_it_does_not_run(
    address: str, resolv_conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvconf, "find", lambda: None)
    with pytest.raises(OSError, match="systemd-resolved, which is not running, and there is no resolvconf"):
        choose()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
    with pytest.raises(OSError, match="systemd-resolved, but the system's D-Bus cannot be reached: No such"):
        choose()


def test_the_plan_names_what_resolvectl_would_do() -> None:
    plan: list[Any] = Resolved().describe("wg0", SERVERS, DOMAINS)
    assert plan == [
        "resolvectl dns wg0 9.9.9.9 2620:fe::fe",
        "resolvectl domain wg0 example.com corp.example '~.'",
        "resolvectl default-route wg0 true",
    ]
    assert Resolved().describe("wg0", [], DOMAINS) == []
    assert Resolved().describe_unset("wg0") == ["resolvectl revert wg0"]
