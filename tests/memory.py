"""The memory of another process, or a core file of it, searched for secrets.

Whoever searches must know what for, so it is never their own memory that they search.
"""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.conftest import missing

# Bytes without the highest bit; a random key has about sixteen others.
_LOW = bytes(range(128))
_PAGE = 4096


def holds(process: int, secret: bytes) -> set[str]:
    """Tell in which forms a process holds a secret: raw, in hexadecimal digits, in base64."""
    return found(process, {"it": secret}).get("it", set())


def found(process: int, secrets: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Tell which secrets a process holds, and in which forms."""
    return found_in(areas(process), secrets)


def found_in(contents: Iterable[bytes], secrets: Mapping[str, bytes]) -> dict[str, set[str]]:
    """Tell which secrets are in these pieces of memory, and in which forms."""
    forms = {name: _forms(secret) for name, secret in secrets.items()}
    result: dict[str, set[str]] = {}
    for content in contents:
        for name, texts in forms.items():
            if hits := {form for form, text in texts.items() if text in content}:
                result.setdefault(name, set()).update(hits)
    return result


def flags_around(process: int, secrets: Mapping[str, bytes]) -> dict[str, list[set[str]]]:
    """Tell of each secret what the kernel says of the memory around it, wherever it lies.

    These are the ``VmFlags`` of proc(5).
    """
    flags: dict[tuple[int, int], set[str]] = {}
    area = (0, 0)
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        first, *words = line.split()
        if first == "VmFlags:":
            flags[area] = set(words)
        elif not first.endswith(":"):
            area = _bounds(first)
    result: dict[str, list[set[str]]] = {}
    with Path(f"/proc/{process}/mem").open("rb", 0) as memory:
        for (start, stop), around in flags.items():
            if {"rd", "wr"} <= around:
                content = b"".join(_pages(memory.fileno(), start, stop))
                for name, secret in secrets.items():
                    result.setdefault(name, []).extend([around] * content.count(secret))
    return result


def hoarder(directory: Path) -> dict[str, str]:
    """Return the environment of a Python process that frees nothing, so that no copy is lost by chance.

    What is freed is given out again soon, and written over.
    """
    compiler = shutil.which("cc") or missing("cc", "install a C compiler")
    library = directory / "hoarder.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), "-xc", "-"]
    subprocess.run(command, input="void free(void *it) { (void)it; }", text=True, check=True)
    return {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"}


def private_halves(process: int, publics: Iterable[bytes]) -> dict[bytes, bytes]:
    """Find the private keys of public ones, if a process holds them where a word of eight bytes may begin.

    So a key can be searched for that nobody but the process ever knew: whatever looks random is multiplied.
    """
    wanted, tried, result = set(publics), set(), {}
    for content in areas(process):
        for start in range(0, len(content), _PAGE):
            # The last window of a page reaches into the next.
            page = content[start : start + _PAGE + 24]
            if page.count(0) == len(page):
                continue
            for offset in range(0, len(page) - 31, 8):
                window = page[offset : offset + 32]
                # Of a million random keys some fifty are passed over here.
                if len(window.translate(None, _LOW)) < 6 or len(set(window)) < 24 or window in tried:
                    continue
                tried.add(window)
                public = X25519PrivateKey.from_private_bytes(window).public_key().public_bytes_raw()
                if public in wanted:
                    result[public] = window
    return result


def areas(process: int) -> Iterator[bytes]:
    """Give all memory that a process can write to, stacks of its threads included."""
    directory = Path(f"/proc/{process}")
    with (directory / "mem").open("rb", 0) as memory:
        for line in (directory / "maps").read_text().splitlines():
            area, rights, *_ = line.split()
            if rights.startswith("rw"):
                start, stop = _bounds(area)
                try:
                    yield os.pread(memory.fileno(), stop - start, start)
                except OSError:
                    # A thread ended, and its stack is gone, or a part of it. What is left is searched.
                    yield b"".join(_pages(memory.fileno(), start, stop))


def _bounds(area: str) -> tuple[int, int]:
    start, _, stop = area.partition("-")
    return int(start, 16), int(stop, 16)


def _pages(memory: int, start: int, stop: int) -> Iterator[bytes]:
    for address in range(start, stop, _PAGE):
        try:
            yield os.pread(memory, _PAGE, address)
        except OSError:
            yield bytes(_PAGE)


def _forms(secret: bytes) -> dict[str, bytes]:
    return {"raw": secret, "hex": secret.hex().encode(), "base64": base64.b64encode(secret)}
