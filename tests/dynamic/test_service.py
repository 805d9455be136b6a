"""The server's rules in virtual time: who gets what, for how long, and what is left after a crash."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise

import pytest

from wirewright.dynamic import Terms, link_local
from wirewright.dynamic.churn import CHANGES, MAX_CLIENTS, REQUESTS, Buckets, Rate
from wirewright.dynamic.leases import MAX_QUARANTINED_OF_A_CLIENT
from wirewright.dynamic.messages import Dialect, RegisterKey, RequestError, RequestIp, Wish
from wirewright.dynamic.registration import MAX_CHAIN

from .worlds import FakePeers, World, at, key, networks

pytestmark = pytest.mark.anyio

ANY = RequestIp()
RELEASE = RequestIp(ipv4=Wish.NONE, ipv6=Wish.NONE)
V4_ONLY = RequestIp(ipv6=Wish.NONE)


def program(ipv4: IPv4Address | Wish = Wish.NONE, ipv6: IPv6Address | Wish = Wish.NONE) -> RequestIp:
    return RequestIp(Dialect.PROGRAM, ipv4, ipv6)


async def world(**settings: object) -> World:
    made = World(**settings)  # type: ignore[arg-type]
    for number in range(3):
        made.peers.add(number)
    await made.service.start()
    return made


def small(*pools: str) -> FakePeers:
    return FakePeers(pools=networks(*pools), own=frozenset())


def specific(text: str, dialect: Dialect = Dialect.DOCUMENT) -> RequestIp:
    return RequestIp(dialect, IPv4Address(text), Wish.NONE)


async def test_a_lease_becomes_allowed_ips_and_ends_with_its_time() -> None:
    w = await world()
    answer = await w.ask(0, ANY)
    assert w.peers.allowed(0) == {answer["ipv4"], answer["ipv6"]}
    assert (answer["leasestart"], answer["leasetime"], answer["errno"]) == ("1000000", "3600", "0")
    await w.pass_time(3599)
    assert w.peers.allowed(0) == {answer["ipv4"], answer["ipv6"]}
    assert w.service.deadline() == 1
    await w.pass_time(1)
    assert w.peers.allowed(0) == set()
    assert ip_network(at(0)) in w.peers.peers[key(0)]
    assert w.store.records.leases == {}


async def test_a_refreshed_lease_is_the_same_for_longer() -> None:
    w = await world()
    first = await w.ask(0, ANY)
    await w.pass_time(3300)
    second = await w.ask(0, ANY)
    assert (first["ipv4"], first["ipv6"]) == (second["ipv4"], second["ipv6"])
    assert second["leasestart"] == "1003300"
    await w.pass_time(3599)
    assert w.peers.allowed(0) == {first["ipv4"], first["ipv6"]}
    await w.pass_time(1)
    assert w.peers.allowed(0) == set()


async def test_a_restart_loses_no_lease_and_the_clock_may_be_set_meanwhile() -> None:
    w = await world()
    answer = await w.ask(0, ANY)
    w.peers.add(0)
    w.clock.now += 600
    await w.restart()
    assert w.peers.allowed(0) == {answer["ipv4"], answer["ipv6"]}
    # Set back by a year: it ends an hour after the restart, and not in a year.
    w.clock.now -= 365 * 86400
    await w.restart()
    await w.pass_time(3601)
    assert w.peers.allowed(0) == set()


async def test_what_ended_while_the_server_was_down_is_taken_away_and_held_back() -> None:
    w = await world(peers=small("10.7.0.0/30"))
    answer = await w.ask(0, V4_ONLY)
    w.clock.now += 4000
    await w.restart()
    assert w.peers.allowed(0) == set()
    assert (await w.ask(1, specific(answer["ipv4"].removesuffix("/32"))))["ipv4"] != answer["ipv4"]


async def test_an_address_is_held_back_for_others_but_not_for_its_last_holder() -> None:
    w = await world(peers=small("10.7.0.1/32"))
    assert "ipv4" in await w.ask(0, V4_ONLY)
    await w.ask(0, RELEASE)
    assert w.peers.allowed(0) == set()
    assert "ipv4" not in await w.ask(1, V4_ONLY)
    assert (await w.ask(0, V4_ONLY))["ipv4"] == "10.7.0.1/32"
    await w.ask(0, RELEASE)
    await w.pass_time(3599)
    assert "ipv4" not in await w.ask(1, V4_ONLY)
    await w.pass_time(1)
    assert "ipv4" in await w.ask(1, V4_ONLY)


async def test_quarantine_is_at_least_as_long_as_a_lease() -> None:
    w = await world(peers=small("10.7.0.1/32"), terms=Terms(lease_time=600, quarantine=0))
    await w.ask(0, V4_ONLY)
    await w.ask(0, RELEASE)
    await w.pass_time(599)
    assert "ipv4" not in await w.ask(1, V4_ONLY)
    await w.pass_time(1)
    assert "ipv4" in await w.ask(1, V4_ONLY)


async def test_without_a_free_address_there_is_none_and_no_error() -> None:
    w = await world(peers=small("10.7.0.1/32"))
    await w.ask(0, ANY)
    assert await w.ask(1, ANY) == {"request_ip": "1", "errno": "0"}
    answer = await w.ask(1, program(Wish.OTHER, Wish.OTHER))
    assert (answer["errno"], "ip" in answer) == ("3", False)


async def test_a_busy_address_gives_another_in_the_document_s_dialect_and_none_in_the_program_s() -> None:
    w = await world()
    taken = (await w.ask(0, specific("10.7.0.9")))["ipv4"]
    assert taken == "10.7.0.9/32"
    assert (await w.ask(1, specific("10.7.0.9")))["ipv4"] != taken
    answer = await w.ask(2, specific("10.7.0.9", Dialect.PROGRAM))
    assert (answer["errno"], "ip" in answer) == ("3", False)


async def test_the_program_drops_what_it_does_not_name() -> None:
    w = await world()
    first = await w.say(0, program(Wish.OTHER, Wish.OTHER))
    v4, v6 = (value for name, value in first if name == "ip")
    assert w.peers.allowed(0) == {v4, v6}
    await w.say(0, program(IPv4Address(v4.removesuffix("/32"))))
    assert w.peers.allowed(0) == {v4}
    # Asking for any again is asking for another.
    other = await w.ask(0, program(Wish.OTHER))
    assert other["ip"] != v4
    assert w.peers.allowed(0) == {other["ip"]}
    assert await w.say(0, program()) == (("errno", "0"),)
    assert w.peers.allowed(0) == set()


async def test_the_first_and_the_last_of_a_block_are_not_handed_out() -> None:
    w = await world(peers=small("10.7.0.0/30"))
    found = {(await w.ask(number, V4_ONLY)).get("ipv4") for number in range(3)}
    assert found == {"10.7.0.1/32", "10.7.0.2/32", None}
    for last in ("10.7.0.0", "10.7.0.3"):
        assert (await w.ask(2, specific(last, Dialect.PROGRAM)))["errno"] == "3"


async def test_leases_never_touch_what_administrators_gave() -> None:
    w = await world(peers=small("10.7.0.0/29"))
    w.peers.add(0, "10.7.0.4/31", "192.168.0.0/16", "0.0.0.0/0")
    w.peers.add(5, "10.7.0.1/32")
    mine = (await w.ask(0, V4_ONLY))["ipv4"]
    assert w.peers.allowed(0) == {mine, "10.7.0.4/31", "192.168.0.0/16", "0.0.0.0/0"}
    found = {mine, *[(await w.ask(number, V4_ONLY)).get("ipv4") for number in (1, 2)]}
    assert found == {"10.7.0.2/32", "10.7.0.3/32", "10.7.0.6/32"}
    await w.ask(0, RELEASE)
    await w.pass_time(4000)
    assert w.peers.allowed(0) == {"10.7.0.4/31", "192.168.0.0/16", "0.0.0.0/0"}
    assert w.peers.allowed(5) == {"10.7.0.1/32"}


async def test_what_administrators_gave_is_not_to_be_had_by_asking_for_it() -> None:
    w = await world()
    w.peers.add(1, "10.7.0.9/32", "10.7.0.16/28")
    for text in ("10.7.0.9", "10.7.0.20", "10.7.0.1", "10.9.0.1"):
        assert (await w.ask(0, specific(text, Dialect.PROGRAM)))["errno"] == "3"
        assert (await w.ask(0, specific(text)))["ipv4"] != f"{text}/32"


async def test_a_peer_s_own_address_in_a_pool_is_what_it_is_told_and_keeps() -> None:
    w = await world()
    w.peers.add(0, "10.7.0.77/32")
    answer = await w.ask(0, ANY)
    assert answer["ipv4"] == "10.7.0.77/32"
    await w.ask(0, RELEASE)
    await w.pass_time(9999)
    assert w.peers.allowed(0) == {"10.7.0.77/32"}
    await w.restart()
    await w.pass_time(9999)
    assert w.peers.allowed(0) == {"10.7.0.77/32"}


async def test_an_address_that_an_administrator_gives_to_another_is_no_lease_any_more() -> None:
    w = await world()
    before = (await w.ask(0, V4_ONLY))["ipv4"]
    await w.peers.change(key(1), networks(before))
    after = (await w.ask(0, V4_ONLY))["ipv4"]
    assert after != before
    assert w.peers.allowed(1) == {before}
    await w.pass_time(9999)
    assert w.peers.allowed(1) == {before}


async def test_a_peer_that_comes_back_has_its_lease() -> None:
    w = await world()
    answer = await w.ask(0, ANY)
    del w.peers.peers[key(0)]
    await w.restart()
    w.peers.add(0)
    assert (await w.ask(0, ANY))["ipv4"] == answer["ipv4"]
    assert answer["ipv4"] in w.peers.allowed(0)


async def test_a_client_is_who_has_the_address_and_nobody_else() -> None:
    w = await world()
    assert await w.service.identify(at(1)) == key(1)
    assert await w.service.identify(link_local(key(77))) is None
    assert await w.service.identify(IPv6Address("fd07::1")) is None
    scoped = IPv6Address(f"{at(1)}%eth0")
    assert await w.service.identify(scoped) == key(1)
    # The administrator gives the address to another peer while the connection is there.
    w.peers.peers[key(0)].add(ip_network(at(1)))
    w.peers.peers[key(1)].clear()
    answer = await w.service.answer(at(1), key(1), ANY)
    assert dict(answer)["errmsg"] == "this address is not yours any more"
    assert w.store.records.leases == {}


async def test_a_full_disk_changes_nothing_and_is_told() -> None:
    w = await world()
    first = await w.ask(0, ANY)
    w.store.full = True
    for asked in (ANY, RELEASE, program(Wish.OTHER)):
        answer = await w.ask(0, asked)
        assert "No space left on device" in answer["errmsg"]
        assert answer["errno"] == "1"
        assert w.peers.allowed(0) == {first["ipv4"], first["ipv6"]}
    assert "No space left" in (await w.ask(1, ANY))["errmsg"]
    assert w.peers.allowed(1) == set()
    with pytest.raises(OSError, match="No space"):
        await w.pass_time(3600)
    w.store.full = False
    # It is tried again.
    assert w.service.deadline() == 0
    await w.service.expire()
    assert w.peers.allowed(0) == set()


async def test_an_interface_that_takes_nothing_is_made_good_later() -> None:
    w = await world()
    w.peers.broken = True
    assert "cannot do it now" in (await w.ask(0, ANY))["errmsg"]
    w.peers.broken = False
    answer = await w.ask(0, ANY)
    assert w.peers.allowed(0) == {answer["ipv4"], answer["ipv6"]}


async def test_an_address_that_others_took_in_the_store_is_not_granted() -> None:
    w = await world(peers=small("10.7.0.0/29"))
    w.store.taken = {ip_address(f"10.7.0.{n}") for n in (1, 2, 4, 5, 6)}
    assert (await w.ask(0, V4_ONLY))["ipv4"] == "10.7.0.3/32"
    assert w.peers.allowed(0) == {"10.7.0.3/32"}
    # All have been tried, and none twice.
    assert await w.ask(1, V4_ONLY) == {"request_ip": "1", "errno": "0"}


async def test_whoever_exchanges_addresses_for_ever_is_slowed_and_holds_few_back() -> None:
    w = await world()
    refused = 0
    for _ in range(200):
        answer = await w.ask(0, program(Wish.OTHER))
        refused += "too many changes" in answer.get("errmsg", "")
        w.clock.now += 10
    assert 200 - CHANGES.burst - 200 * 10 / CHANGES.seconds - 1 <= refused < 200
    assert len(w.store.records.quarantined) <= 1
    for last in range(100, 120):
        await w.ask(1, specific(f"10.7.0.{last}"))
        w.clock.now += 60
    assert len(w.service.table.left_behind(key(1), 4)) == MAX_QUARANTINED_OF_A_CLIENT
    # Nobody else is slowed, and keeping a lease is no change.
    first = await w.ask(2, ANY)
    for _ in range(25):
        assert (await w.ask(2, ANY))["ipv4"] == first["ipv4"]


async def test_whoever_asks_without_end_is_refused() -> None:
    w = await world()
    answers = [await w.ask(0, ANY) for _ in range(40)]
    assert answers[-1]["errmsg"] == "too many requests"
    assert w.store.commits == 30
    w.clock.now += 5
    assert (await w.ask(0, ANY))["errno"] == "0"


async def test_the_table_has_an_end() -> None:
    w = await world(terms=Terms(max_leases=2, max_quarantined=1))
    await w.ask(0, V4_ONLY)
    await w.ask(1, V4_ONLY)
    assert "no room" in (await w.ask(2, V4_ONLY))["errmsg"]
    assert (await w.ask(2, RELEASE))["errno"] == "0"
    assert (await w.ask(0, RELEASE))["errno"] == "0"
    assert "no room" in (await w.ask(1, RELEASE))["errmsg"]


async def test_routes_and_extensions_are_told_to_who_asks_and_to_nobody_else() -> None:
    w = await world(routes=networks("192.168.0.0/16", "fd01::/64"), registration=True)
    asked = RequestIp(extensions=frozenset({"routes", "later"}))
    message = await w.say(0, asked)
    assert [value for name, value in message if name == "route"] == ["192.168.0.0/16", "fd01::/64"]
    assert ("extensions", "register_key,routes") in message
    assert not {"route", "extensions"} & {name for name, _ in await w.say(0, ANY)}
    assert not {"route", "extensions"} & {name for name, _ in await w.say(0, program(Wish.OTHER))}
    silent = RequestIp(extensions=frozenset())
    assert "route" not in {name for name, _ in await w.say(0, silent)}


async def test_what_is_no_request_ends_the_connection() -> None:
    w = await world()
    with pytest.raises(RequestError):
        await w.service.answer(at(0), key(0), RequestError("wrong"))
    assert w.service.counters["malformed"] == 1


# Keys.


async def registered(**settings: object) -> World:
    w = await world(registration=True, **settings)
    w.peers.preshared[key(0)] = "secret"
    w.peers.peers[key(0)] |= set(networks("192.168.0.0/16"))
    return w


async def test_a_new_key_has_everything_once_it_has_spoken() -> None:
    w = await registered()
    lease = await w.ask(0, ANY)
    answer = await w.ask(0, RegisterKey(key(50)))
    assert answer == {"register_key": "1", "lladdr": f"{at(50)}/128", "errno": "0"}
    # Until then it has nothing but its own address, and the old one everything.
    assert w.peers.allowed(50) == set()
    assert w.peers.allowed(0) == {lease["ipv4"], lease["ipv6"], "192.168.0.0/16"}
    assert (await w.ask(50, ANY))["ipv4"] == lease["ipv4"]
    assert key(0) not in w.peers.peers
    assert w.peers.allowed(50) == {lease["ipv4"], lease["ipv6"], "192.168.0.0/16"}
    assert w.peers.preshared[key(50)] == "secret"
    await w.pass_time(3600)
    assert w.peers.allowed(50) == {"192.168.0.0/16"}


async def test_a_replaced_key_that_comes_back_is_replaced_again() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    await w.ask(50, ANY)
    await w.ask(50, RegisterKey(key(51)))
    lease = await w.ask(51, ANY)
    w.peers.peers.clear()
    w.peers.add(0, "192.168.0.0/16")
    await w.restart()
    assert set(w.peers.peers) == {key(51)}
    assert w.peers.allowed(51) == {lease["ipv4"], lease["ipv6"], "192.168.0.0/16"}
    assert (await w.ask(51, RegisterKey(key(0))))["errno"] != "0"


async def test_a_crash_between_the_store_and_the_interface_is_made_good() -> None:
    w = await registered()
    lease = await w.ask(0, ANY)
    await w.ask(0, RegisterKey(key(50)))
    w.peers.broken = True
    assert "cannot do it now" in (await w.ask(50, ANY))["errmsg"]
    assert w.peers.allowed(0) >= {lease["ipv4"]}
    w.peers.broken = False
    await w.restart()
    assert key(0) not in w.peers.peers
    assert w.peers.allowed(50) == {lease["ipv4"], lease["ipv6"], "192.168.0.0/16"}


async def test_a_key_that_does_not_come_in_a_day_is_forgotten() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    await w.pass_time(86399)
    assert key(50) in w.peers.peers
    await w.pass_time(1)
    assert key(50) not in w.peers.peers
    assert w.store.records.successions == {}
    assert key(0) in w.peers.peers


async def rotate(w: World, *numbers: int) -> None:
    """Have a client take one key after the other, each in its time."""
    for old, new in pairwise(numbers):
        w.clock.now += 60
        assert (await w.ask(old, RegisterKey(key(new))))["errno"] == "0"
        assert (await w.ask(new, V4_ONLY))["errno"] == "0"


async def test_of_the_keys_that_a_client_had_the_newest_are_remembered() -> None:
    w = await registered()
    await rotate(w, 0, *range(50, 70))
    remembered = w.store.records.successions
    assert list(remembered) == [key(number) for number in range(69 - MAX_CHAIN, 69)]
    assert {(each.new, each.until) for each in remembered.values()} == {(key(69), None)}


async def test_a_new_key_makes_no_more_changes_than_the_old_one_had_left() -> None:
    w = await registered()
    done = 0
    for number in range(50, 50 + 2 * CHANGES.burst):
        old = 0 if number == 50 else number - 1
        if (await w.ask(old, RegisterKey(key(number))))["errno"] != "0":
            break
        await w.ask(number, V4_ONLY if number == 50 else RequestIp())
        done += 1
    # The first lease of either family is a change too.
    assert done == CHANGES.burst - 2


async def test_a_new_key_asks_no_more_often_than_the_old_one_could() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    for _ in range(REQUESTS.burst):
        await w.ask(0, ANY)
    assert (await w.ask(0, ANY))["errmsg"] == "too many requests"
    assert (await w.ask(50, ANY))["errno"] == "0"
    assert (await w.ask(50, ANY))["errmsg"] == "too many requests"


async def test_what_is_held_back_of_a_client_is_held_back_of_its_new_key() -> None:
    w = await registered()
    for last in range(100, 100 + MAX_QUARANTINED_OF_A_CLIENT + 1):
        await w.ask(0, specific(f"10.7.0.{last}"))
        w.clock.now += 60
    held_back = w.service.table.left_behind(key(0), 4)
    assert len(held_back) == MAX_QUARANTINED_OF_A_CLIENT
    await rotate(w, 0, 50)
    assert w.service.table.left_behind(key(50), 4) == held_back
    assert w.service.table.left_behind(key(0), 4) == []
    assert {each.key for each in w.store.records.quarantined.values()} == {key(50)}


async def test_a_registered_key_that_an_administrator_adds_stays_when_another_takes_its_place() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    w.peers.add(50, "10.99.0.0/24")
    assert (await w.ask(0, RegisterKey(key(51))))["errno"] == "0"
    assert w.peers.allowed(50) == {"10.99.0.0/24"}
    assert [each.new for each in w.store.records.successions.values()] == [key(51)]


async def test_a_registered_key_that_an_administrator_adds_stays_when_its_day_is_over() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    w.peers.add(50, "10.99.0.0/24")
    await w.pass_time(86400)
    assert w.peers.allowed(50) == {"10.99.0.0/24"}
    assert w.store.records.successions == {}


async def test_a_client_has_one_new_key_at_a_time() -> None:
    w = await registered()
    await w.ask(0, RegisterKey(key(50)))
    await w.ask(0, RegisterKey(key(51)))
    assert key(50) not in w.peers.peers
    assert key(51) in w.peers.peers
    # The same again is no other.
    assert (await w.ask(0, RegisterKey(key(51))))["errno"] == "0"
    # A key that has not spoken vouches for none.
    assert (await w.ask(51, RegisterKey(key(52))))["errno"] != "0"


@pytest.mark.parametrize("wrong", [1, 9999, -1])
async def test_keys_of_others_and_what_is_none_are_not_taken(wrong: int) -> None:
    w = await registered()
    before = {each: set(allowed) for each, allowed in w.peers.peers.items()}
    asked = RegisterKey(key(wrong))
    assert "cannot be taken" in (await w.ask(0, asked))["errmsg"]
    await w.ask(1, RegisterKey(key(60)))
    assert "cannot be taken" in (await w.ask(0, RegisterKey(key(60))))["errmsg"]
    del w.peers.peers[key(60)]
    assert w.peers.peers == before


async def test_a_link_local_address_that_is_another_s_is_not_given() -> None:
    w = await registered()
    w.peers.peers[key(1)].add(ip_network(at(50)))
    assert "another's" in (await w.ask(0, RegisterKey(key(50))))["errmsg"]


async def test_keys_are_not_taken_unless_the_administrator_says_so() -> None:
    w = await world()
    assert (await w.ask(0, RegisterKey(key(50))))["errno"] == "2"
    assert key(50) not in w.peers.peers


# Token buckets.


def test_a_bucket_fills_with_time_and_no_further() -> None:
    buckets = Buckets(Rate(2, 10.0))
    assert [buckets.take(key(1), 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.wait(key(1), 4.0) == pytest.approx(6.0)
    assert [buckets.take(key(1), 1e6) for _ in range(3)] == [True, True, False]
    assert buckets.take(key(2), 1e6)


def test_buckets_are_bounded() -> None:
    buckets = Buckets(Rate(1, 10.0))
    for number in range(MAX_CLIENTS + 10):
        assert buckets.take(key(number), 0.0)
    assert len(buckets._buckets) == MAX_CLIENTS


def test_the_link_local_address_is_that_of_the_published_derivation() -> None:
    # wg-lla has fe8b:5ea9:9e65:3bc2:b593:db41:30d1:0a4e for the key of zeros; ours is its lower half in
    # fe80::/64.
    assert str(link_local(key(-1))) == "fe80::b593:db41:30d1:a4e"


async def test_an_allowed_ip_that_others_call_a_lease_was_given_by_no_administrator() -> None:
    """As where a coordinator told the interface of a lease that the server does not know any more."""
    world = World()
    world.peers.add(0, "10.7.0.9/32")
    await world.service.start()
    administered = await world.ask(0, RequestIp(ipv6=Wish.NONE))
    assert administered["ipv4"] == "10.7.0.9/32"
    assert world.store.records.leases == {}
    world.peers.leased = frozenset({ip_address("10.7.0.9")})
    leased = await world.ask(0, RequestIp(ipv6=Wish.NONE))
    [lease] = world.store.records.leases.values()
    assert leased["ipv4"] == f"{lease.ipv4}/32"


async def test_what_may_have_been_kept_is_read_again_before_anything_is_decided() -> None:
    world = World()
    world.peers.add(0)
    await world.service.start()
    world.store.unsure = True
    assert (await world.ask(0, RequestIp()))["errno"] == "1"
    [kept] = world.store.records.leases.values()
    world.store.unsure = False
    assert (await world.ask(0, RequestIp()))["ipv4"] == f"{kept.ipv4}/32"
    assert world.service.counters["read_again"] == 1
    assert (await world.ask(0, RequestIp()))["errno"] == "0"
    assert world.service.counters["read_again"] == 1


async def test_a_request_that_was_cancelled_while_it_was_kept_leaves_no_certainty() -> None:
    world = World()
    world.peers.add(0)
    await world.service.start()
    asking = asyncio.create_task(world.ask(0, RequestIp()))
    await asyncio.sleep(0)
    assert not asking.done()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert world.store.records.leases == {}
    assert (await world.ask(0, RequestIp()))["errno"] == "0"
    assert world.service.counters["read_again"] == 1
