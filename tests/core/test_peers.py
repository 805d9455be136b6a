"""What the core tells of its peers, one at a time."""

import pytest

from wirewright._core import PublicKey, RootlessTunnel, SecretKey


def tunnel(shards: int) -> RootlessTunnel:
    key = SecretKey.generate()
    return RootlessTunnel(key, ["10.0.0.1/24", "fd00::1/64"], listen_address="127.0.0.1", shards=shards)


def stranger() -> PublicKey:
    return SecretKey.generate().public_key


@pytest.mark.parametrize("shards", [1, 4])
def test_an_address_belongs_to_the_peer_with_the_longest_prefix_as_it_is_now(shards: int) -> None:
    core = tunnel(shards)
    wide, narrow = stranger(), stranger()
    assert core.owner("10.1.2.3") is None
    core.add_peer(wide, allowed_ips=["10.0.0.0/8", "::/0"])
    core.add_peer(narrow, allowed_ips=["10.1.0.0/16"])
    assert core.owner("10.1.2.3") == narrow
    assert core.owner("10.2.2.3") == wide
    assert core.owner("2001:db8::1") == wide
    assert core.owner("192.0.2.1") is None
    core.update_peer(wide, allowed_ips=["10.1.0.0/16"])
    assert core.owner("10.1.2.3") == wide
    core.remove_peer(wide)
    assert core.owner("10.1.2.3") is None
    core.close()
    with pytest.raises(RuntimeError, match="closed"):
        core.owner("10.1.2.3")


@pytest.mark.parametrize("shards", [1, 4])
def test_one_peer_is_told_of_as_in_the_stats_of_all(shards: int) -> None:
    core = tunnel(shards)
    keys = [stranger() for _ in range(5)]
    for number, key in enumerate(keys):
        core.add_peer(key, endpoint=("127.0.0.1", 1 + number), allowed_ips=[f"10.0.{number}.0/24"])
    for peer in core.stats()["peers"]:
        assert peer.pop("allowed_ips") == [f"10.0.{keys.index(peer['public_key'])}.0/24"]
        assert core.peer(peer["public_key"]) == peer
    assert core.peer(stranger()) is None
    core.close()
    with pytest.raises(RuntimeError, match="closed"):
        core.peer(keys[0])
