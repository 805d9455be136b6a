"""A device with the gateway's own key is left out, whatever becomes of it."""

from __future__ import annotations

from wirewright.gateway.members import EngineChange, Member, Placement, without_key
from wirewright.host.filtering import PacketFilter

from .models import key, single

OWN = key(0)


def member(number: int, name: str = "one") -> Member:
    return Member(name, key(number), (single(number),))


def change(*put: Placement, removed: tuple[Member, ...] = ()) -> EngineChange:
    return EngineChange((), PacketFilter(), put, removed)


def test_a_device_with_another_key_stays_as_it_is() -> None:
    told = change(Placement(member(1), member(2)), removed=(member(3, "two"),))
    assert without_key(told, OWN) is told


def test_a_device_with_the_gateways_own_key_neither_comes_nor_goes() -> None:
    other = Placement(member(2, "two"))
    told = change(Placement(member(0)), other, removed=(member(0, "three"),))
    assert without_key(told, OWN) == change(other)


def test_a_device_that_takes_the_gateways_own_key_is_removed() -> None:
    assert without_key(change(Placement(member(0), member(1))), OWN) == change(removed=(member(1),))


def test_a_device_that_gives_the_gateways_own_key_up_comes_anew() -> None:
    assert without_key(change(Placement(member(1), member(0))), OWN) == change(Placement(member(1)))
