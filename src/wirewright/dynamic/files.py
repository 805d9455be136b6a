"""Leases in a file.

The file is replaced as a whole, and only its owner can read it. Its first line says what it is and has a
digest of the rest, which is a line of JSON for each record. A commit has returned when the new file and its
name are on the disk, and a commit that failed left the old file as it was. A second server that would write
to the same file is refused.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from wirewright.dynamic.records import Change, Lease, Quarantine, Records, StoreError, Succession
from wirewright.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wirewright.config.values import IPAddress

    _Name = tuple[str, PublicKey | IPAddress]

TITLE: Final = "wirewright leases 1"
MAX_BYTES: Final = 64 << 20
"""A file with as many leases and quarantined addresses as there may be has less than half of that."""


class FileLeaseStore:
    """A :class:`~wirewright.dynamic.records.LeaseStore` in a file. Commits come one at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lines: dict[_Name, str] = {}
        """The file's, by what they are about: only those that change are written anew as text."""
        self._lock: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another server have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def load(self) -> Records:
        """Read the file; none is no lease. Raises StoreError."""
        records = await asyncio.to_thread(self._open)
        everything = Change(
            tuple(records.leases.values()),
            quarantined=tuple(records.quarantined.values()),
            successions=tuple(records.successions.values()),
        )
        self._lines = _changed({}, everything)
        return records

    async def commit(self, change: Change) -> None:
        """Write the file anew. Raises StoreError."""
        lines = _changed(self._lines, change)
        # Writing goes on if who waits is cancelled.
        await asyncio.shield(asyncio.to_thread(self._write, "\n".join(lines.values()).encode()))
        self._lines = lines

    def _open(self) -> Records:
        with _errors(self.path, "leases cannot be kept there"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
        return read_leases(self.path)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            words = "another server keeps its leases in this file: stop it, or give this one another file"
            raise StoreError(errno.EBUSY, words, str(self.path)) from None
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def _write(self, body: bytes) -> None:
        text = f"{TITLE} {hashlib.sha256(body).hexdigest()}\n".encode() + body + b"\n"
        new = Path(f"{self.path}.new")
        try:
            with _errors(self.path, "the lease is not kept, and so not granted"):
                # With its mode from the start.
                with open(os.open(new, _NEW, 0o600), "wb") as file:  # noqa: PTH123
                    os.fchmod(file.fileno(), 0o600)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self.path)
                _sync_directory(self.path.parent)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise


def read_leases(path: Path) -> Records:
    """Read a file of leases; one that is not there has none. Raises StoreError."""
    with _errors(path, "leases cannot be read"):
        try:
            with path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return Records()
    head, _, body = text.partition(b"\n")
    body = body.removesuffix(b"\n")
    title, _, digest = head.decode("ascii", "replace").rpartition(" ")
    if title != TITLE or len(text) > MAX_BYTES or digest != hashlib.sha256(body).hexdigest():
        raise _damaged(path)
    try:
        return _records(body.decode())
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None


_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def _errors(path: Path, consequence: str) -> Iterator[None]:
    """Say of an error of the system which file it is about, and what follows."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        words = f"{error.strerror or error}; {consequence}"
        raise StoreError(error.errno or errno.EIO, words, str(path)) from None


def _damaged(path: Path) -> StoreError:
    words = (
        "this is no whole file of leases. Put a copy of it there that is; or move it away, and wait until "
        "the leases of before have ended before you start the server without it, lest an address be given "
        "twice"
    )
    return StoreError(errno.EIO, words, str(path))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _changed(lines: dict[_Name, str], change: Change) -> dict[_Name, str]:
    """Give the lines of a file after a change."""
    found = dict(lines)
    gone: list[_Name] = [("lease", key) for key in change.ended]
    gone += [("quarantined", address) for address in change.freed]
    gone += [("succession", key) for key in change.forgotten]
    for name in gone:
        found.pop(name, None)
    for lease in change.leases:
        found["lease", lease.key] = json.dumps({"kind": "lease", **lease_as_data(lease)})
    for each in change.quarantined:
        data = {"address": str(each.address), "public_key": str(each.key), "until": each.until}
        found["quarantined", each.address] = json.dumps({"kind": "quarantined", **data})
    for succession in change.successions:
        keys = {"old": str(succession.old), "new": str(succession.new), "until": succession.until}
        found["succession", succession.old] = json.dumps({"kind": "succession", **keys})
    return found


def lease_as_data(lease: Lease) -> dict[str, Any]:
    """Give a lease as JSON has it."""
    return {
        "public_key": str(lease.key),
        "ipv4": None if lease.ipv4 is None else str(lease.ipv4),
        "ipv6": None if lease.ipv6 is None else str(lease.ipv6),
        "start": lease.start,
        "duration": lease.duration,
    }


def _records(text: str) -> Records:
    """Read the lines of a file. Raises ValueError, KeyError or TypeError if they are none."""
    records = Records()
    for line in text.splitlines():
        each = json.loads(line)
        kind = each["kind"]
        if kind == "lease":
            lease = Lease(
                PublicKey.from_base64(each["public_key"]),
                None if each["ipv4"] is None else IPv4Address(each["ipv4"]),
                None if each["ipv6"] is None else IPv6Address(each["ipv6"]),
                _whole(each["start"]),
                _whole(each["duration"]),
            )
            records.leases[lease.key] = lease
        elif kind == "quarantined":
            address, key = ip_address(each["address"]), PublicKey.from_base64(each["public_key"])
            records.quarantined[address] = Quarantine(address, key, _whole(each["until"]))
        elif kind == "succession":
            old, new = PublicKey.from_base64(each["old"]), PublicKey.from_base64(each["new"])
            until = None if each["until"] is None else _whole(each["until"])
            records.successions[old] = Succession(old, new, until)
        else:
            raise ValueError(kind)
    return records


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("not a time")
    return value
