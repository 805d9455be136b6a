"""``wirewright-tun`` on a machine that can be put to sleep: its boot time jumps when a test wants it to.

A suspend cannot be had in a namespace, and the program has no hook for a test. So the process lives in a
time namespace whose boot time is ahead, and the function of the vDSO by which it reads clocks is replaced,
before the program is loaded, by one that takes that lead away again. To let the machine have slept is to
set what is taken away to zero, from outside: all at once boot time has gone on and monotonic time has not,
and the kernel's timers, which were in the namespace's time all along, are due as they are after a real
suspend. (Before that they seem due as soon as they are set, so that the process does not rest.)
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

CLOCK_BOOTTIME = 7
# clock_gettime(edi, rsi): the system call; for boot time, seconds are taken away.
CODE = bytes.fromhex(
    "b8 e4 00 00 00"  # mov eax, 228
    "0f 05"  # syscall
    "83 ff 07"  # cmp edi, CLOCK_BOOTTIME
    "75 0a"  # jne to the end
    "48 8b 0d 04 00 00 00"  # mov rcx, [what is taken away]
    "48 29 0e"  # sub [rsi], rcx
    "c3"  # ret
)
SHT_DYNSYM = 11


def clock_function(process: str) -> int:
    """Return the address of the function of a process's vDSO that reads clocks."""
    for line in Path(f"/proc/{process}/maps").read_text().splitlines():
        if line.endswith("[vdso]"):
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            break
    else:
        raise SystemExit("there is no vDSO")
    with Path(f"/proc/{process}/mem").open("rb") as memory:
        memory.seek(start)
        image = memory.read(end - start)
    (table,) = struct.unpack_from("<Q", image, 40)
    size, count = struct.unpack_from("<HH", image, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + size * number) for number in range(count)]
    symbols = next(section for section in sections if section[1] == SHT_DYNSYM)
    names = sections[symbols[6]][4]
    for offset in range(symbols[4], symbols[4] + symbols[5], 24):
        name, _, _, _, value, length = struct.unpack_from("<IBBHQQ", image, offset)
        if image[names + name :].startswith(b"__vdso_clock_gettime\0"):
            assert length >= len(CODE) + 8
            return start + int(value)
    raise SystemExit("the vDSO reads no clocks")


def take_away(process: str, seconds: int, *, code: bytes = b"") -> None:
    """Set how many seconds of boot time a process does not see."""
    with Path(f"/proc/{process}/mem").open("r+b", buffering=0) as memory:
        address = clock_function(process)
        memory.seek(address if code else address + len(CODE))
        memory.write(code + struct.pack("<q", seconds))


if __name__ == "__main__":
    take_away("self", int(sys.argv[1]), code=CODE)
    Path("/proc/self/comm").write_text("wirewright-tun")
    from wirewright.tun import main

    sys.exit(main(sys.argv[3:]))
