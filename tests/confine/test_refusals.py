"""What is said where there can be no namespaces, by what the system is set to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from wirewright.confine.refusals import no_namespaces, no_tun


def sysctls(folder: Path, **values: str) -> Path:
    """Set those whose names these are, with a dot for each pair of underscores."""
    for name, value in values.items():
        path = folder.joinpath(*name.split("__"))
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
    return folder


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "settings", "words"),
    [
        (
            errno.ENOSPC,
            {"user__max_user_namespaces": "0"},
            "user.max_user_namespaces is 0; as root, raise it",
        ),
        (errno.ENOSPC, {"user__max_net_namespaces": "0"}, "user.max_net_namespaces is 0; as root, raise it"),
        (errno.ENOSPC, {"user__max_user_namespaces": "9"}, "too many namespaces already"),
        (errno.EUSERS, {}, "too many namespaces already"),
        (
            errno.EPERM,
            {"kernel__unprivileged_userns_clone": "0"},
            "kernel.unprivileged_userns_clone is 0, so that only root may; as root, allow it: sysctl -w",
        ),
        (
            errno.EPERM,
            {"kernel__unprivileged_userns_clone": "1", "kernel__apparmor_restrict_unprivileged_userns": "1"},
            "AppArmor forbids it (kernel.apparmor_restrict_unprivileged_userns is 1): give the Python",
        ),
        (errno.EACCES, {"kernel__apparmor_restrict_unprivileged_userns": "1"}, "AppArmor forbids it"),
        (errno.EPERM, {"kernel__apparmor_restrict_unprivileged_userns": "0"}, "seccomp profile, a chroot"),
        (errno.EPERM, {}, "seccomp profile, a chroot"),
        (errno.EINVAL, {}, "this kernel is built without"),
        (errno.ENOMEM, {}, os.strerror(errno.ENOMEM)),
    ],
)
def test_what_forbids_namespaces_is_named(
    tmp_path: Path, number: int, settings: dict[str, str], words: str
) -> None:
    refusal = no_namespaces(error(number), sysctls(tmp_path, **settings))
    assert words in str(refusal)
    assert str(refusal).startswith("no user namespace can be had: ")
    assert refusal.status == 125


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "there is no /dev/net/tun: load the module (modprobe tun)"),
        (errno.ENODEV, "without its driver"),
        (errno.EACCES, "/dev/net/tun may not be opened"),
        (errno.EPERM, "no capabilities"),
        (errno.EBUSY, os.strerror(errno.EBUSY)),
    ],
)
def test_what_is_wrong_with_the_device_is_told(number: int, words: str) -> None:
    assert words in str(no_tun(error(number)))
