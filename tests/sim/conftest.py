"""Two devices in virtual time, with one shard and with four."""

import pytest

from wirewright.sim import Network, Node


class Pair:
    """Alice, who knows where Bob is, and Bob, who has to wait for her."""

    def __init__(self, shards: int) -> None:
        self.network = Network(shards=shards)
        self.alice = self.network.add("alice")
        self.bob = self.network.add("bob")
        self.network.introduce(self.alice, self.bob)
        self.network.introduce(self.bob, self.alice, endpoint=False)

    def connect(self) -> "Pair":
        self.network.send(self.alice, self.bob, b"first")
        self.network.run(0.1)
        assert self.bob.payloads == [b"first"]
        self.bob.inbox.clear()
        self.network.tap.clear()
        return self

    def count(self, node: Node, event: str) -> int:
        return node.device.counters[event]

    def peer(self, node: Node) -> dict[str, object]:
        return node.device.peers(self.network.clocks[0])[0]


@pytest.fixture(params=[1, 4], ids=["one shard", "four shards"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


@pytest.fixture
def connected(pair: Pair) -> Pair:
    return pair.connect()
