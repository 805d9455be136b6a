"""Why a system lets nobody have namespaces or a TUN of his own, and what to do about it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from wirewright.confine.errors import ConfineError

SYSCTLS: Final = Path("/proc/sys")


def no_namespaces(error: OSError, sysctls: Path = SYSCTLS) -> ConfineError:
    """Explain why there can be no user namespace, with a network and mounts in it."""
    return ConfineError(f"no user namespace can be had: {_why(error, sysctls)}")


def no_tun(error: OSError) -> ConfineError:
    """Explain why there can be no TUN, although the network namespace is ours."""
    match error.errno:
        case errno.ENOENT:
            why = "there is no /dev/net/tun: load the module (modprobe tun), or give the container the device"
        case errno.EACCES:
            why = (
                "/dev/net/tun may not be opened: it is usually open to everyone (chmod 666 /dev/net/tun, or "
                "a rule of udev); in a container, its device rules must allow it"
            )
        case errno.ENODEV | errno.ENXIO:
            why = "/dev/net/tun is there without its driver: load the module (modprobe tun)"
        case errno.EPERM:
            why = (
                "the system gives this user's namespaces no capabilities, or the container's device rules "
                f"forbid /dev/net/tun{_apparmor(SYSCTLS)}"
            )
        case _:
            why = error.strerror or str(error)
    return ConfineError(f"no interface can be made for the tunnel: {why}")


def _why(error: OSError, sysctls: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EUSERS:
            for kind in ("user", "net", "mnt"):
                name = f"user.max_{kind}_namespaces"
                if _read(sysctls, name) == "0":
                    return f"{name} is 0; as root, raise it: sysctl -w {name}=10000"
            return "there are too many namespaces already, or too deep in each other"
        case errno.EPERM | errno.EACCES:
            if _read(sysctls, "kernel.unprivileged_userns_clone") == "0":
                name = "kernel.unprivileged_userns_clone"
                return f"{name} is 0, so that only root may; as root, allow it: sysctl -w {name}=1"
            return (
                _apparmor(sysctls).removeprefix("; ")
                or "forbidden by what confines this process: a container's seccomp profile, a chroot, or a "
                "security module"
            )
        case errno.EINVAL | errno.ENOSYS:
            return "this kernel is built without (CONFIG_USER_NS, CONFIG_NET_NS)"
        case _:
            return error.strerror or str(error)


def _apparmor(sysctls: Path) -> str:
    name = "kernel.apparmor_restrict_unprivileged_userns"
    if _read(sysctls, name) != "1":
        return ""
    return (
        f"; AppArmor forbids it ({name} is 1): give the Python that runs ww a profile that has 'userns,', "
        f"or, as root, allow all: sysctl -w {name}=0"
    )


def _read(sysctls: Path, name: str) -> str | None:
    try:
        return sysctls.joinpath(*name.split(".")).read_text().strip()
    except OSError:
        return None
