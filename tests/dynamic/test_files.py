"""Leases in a file: what survives, and what is said when something does not."""

from __future__ import annotations

import errno
import os
import stat
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirewright.dynamic import Change, FileLeaseStore, Lease, Quarantine, StoreError, Succession
from wirewright.dynamic.files import read_leases

from .worlds import key

pytestmark = pytest.mark.anyio

# ruff: noqa: ASYNC240 - the files of a test are at hand

LEASE = Lease(key(1), IPv4Address("10.7.0.9"), IPv6Address("fd07::9"), 1000, 3600)
CHANGE = Change(
    leases=(LEASE, Lease(key(2), None, IPv6Address("fd07::8"), 5, 6)),
    quarantined=(
        Quarantine(ip_address("10.7.0.8"), key(3), 99),
        Quarantine(ip_address("fd07::7"), key(3), 98),
    ),
    successions=(Succession(key(4), key(5)), Succession(key(6), key(7), 1234)),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "wg0.leases"


async def test_what_was_committed_is_there_again(path: Path) -> None:
    async with FileLeaseStore(path) as store:
        assert (await store.load()).leases == {}
        await store.commit(CHANGE)
    async with FileLeaseStore(path) as store:
        records = await store.load()
        assert records.leases == {lease.key: lease for lease in CHANGE.leases}
        assert records.quarantined == {each.address: each for each in CHANGE.quarantined}
        assert records.successions == {each.old: each for each in CHANGE.successions}
        await store.commit(Change(ended=(key(1),), freed=(ip_address("10.7.0.8"),), forgotten=(key(4),)))
    records = read_leases(path)
    assert list(records.leases) == [key(2)]
    assert list(records.quarantined) == [ip_address("fd07::7")]
    assert list(records.successions) == [key(6)]


async def test_only_its_owner_reads_it(path: Path) -> None:
    before = os.umask(0)
    try:
        async with FileLeaseStore(path) as store:
            await store.load()
            await store.commit(CHANGE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["wg0.leases", "wg0.leases.lock"]


async def test_the_file_and_its_name_are_on_the_disk_before_a_commit_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        done.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    async with FileLeaseStore(path) as store:
        await store.load()
        await store.commit(CHANGE)
    assert done == [f"{path}.new", "replace", str(path.parent)]


async def test_a_full_disk_is_told_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FileLeaseStore(path) as store:
        await store.load()
        await store.commit(CHANGE)
        before = path.read_bytes()

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StoreError, match="No space left on device; the lease is not kept") as caught:
                await store.commit(Change(ended=(key(1),)))
        assert caught.value.filename == str(path)
        assert path.read_bytes() == before
        assert not Path(f"{path}.new").exists()
        await store.commit(Change(ended=(key(2),)))
    assert list(read_leases(path).leases) == [key(1)]


@given(st.data())
async def test_a_damaged_file_is_never_taken_for_leases(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("leases") / "leases"
    async with FileLeaseStore(path) as store:
        await store.load()
        await store.commit(CHANGE)
    whole = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(whole) - 2))
    if data.draw(st.booleans()):
        del whole[position:]
    else:
        whole[position] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="no whole file of leases"):
        read_leases(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"wirewright leases 1\n", b"\xff\xfe\n{}"])
def test_what_is_no_file_of_leases_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read_leases(path)
    assert caught.value.filename == str(path)


async def test_two_servers_do_not_write_to_one_file(path: Path) -> None:
    async with FileLeaseStore(path) as store:
        await store.load()
        async with FileLeaseStore(path) as other:
            with pytest.raises(StoreError, match="another server"):
                await other.load()
    async with FileLeaseStore(path) as other:
        await other.load()


async def test_a_folder_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with FileLeaseStore(tmp_path / "file" / "wg0.leases") as store:
        with pytest.raises(StoreError, match="leases cannot be kept there"):
            await store.load()


async def test_a_link_in_the_place_of_the_new_file_is_not_followed(path: Path, tmp_path: Path) -> None:
    async with FileLeaseStore(path) as store:
        await store.load()
        Path(f"{path}.new").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(StoreError):
            await store.commit(CHANGE)
    assert not (tmp_path / "elsewhere").exists()
