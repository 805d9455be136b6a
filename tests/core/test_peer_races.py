"""Peers of a tunnel that several threads change at once."""

from __future__ import annotations

import threading
from contextlib import suppress

from wirewright._core import RootlessTunnel, SecretKey

ROUNDS = 10_000
UPDATERS = 4


def test_an_update_does_not_bring_back_a_peer_that_is_removed_meanwhile() -> None:
    tunnel = RootlessTunnel(SecretKey.generate(), ["10.0.0.1/24"])
    peer = SecretKey.generate().public_key
    done = threading.Event()

    def update() -> None:
        while not done.is_set():
            with suppress(ValueError):  # It is gone most of the time.
                tunnel.update_peer(peer, persistent_keepalive=0)

    updaters = [threading.Thread(target=update) for _ in range(UPDATERS)]
    for updater in updaters:
        updater.start()
    came_back = 0
    for _ in range(ROUNDS):
        tunnel.add_peer(peer)
        tunnel.remove_peer(peer)
        # Nobody else adds it.
        came_back += sum(tunnel.remove_peer(peer) for _ in range(5))
    done.set()
    for updater in updaters:
        updater.join()
    tunnel.close()
    assert came_back == 0
