"""A gateway's credential goes to its coordinator and to nobody else."""

from __future__ import annotations

import socket
import threading
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from wirewright.gateway.http_source import CoordinatorError, HttpSource

from .models import key

pytestmark = pytest.mark.anyio


async def test_a_proxy_of_the_environment_does_not_get_a_credential_that_is_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential = tmp_path / "gateway.credential"
    credential.write_text("wwg_secret")
    credential.chmod(0o600)
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy, socket.socket() as coordinator:
        # Bound, and not listening: whoever connects is refused.
        coordinator.bind(("127.0.0.1", 0))
        seen: list[bytes] = []

        def listen() -> None:
            connection, _ = proxy.accept()
            with connection:
                seen.append(connection.recv(65_536))

        listening = threading.Thread(target=listen)
        listening.start()
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        source = HttpSource(f"http://127.0.0.1:{coordinator.getsockname()[1]}", credential, key(1))
        with pytest.raises(CoordinatorError):
            async with aclosing(source.follow()) as told:
                await anext(told)
        # So that the thread ends in any case.
        with socket.create_connection(proxy.getsockname()) as last:
            last.sendall(b"nothing came")
        listening.join(40)
        assert seen == [b"nothing came"]
