"""What every test may ask for, and the rule that CI skips no test that needs the system."""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.order import long_first

ROOT = Path(__file__).resolve().parent.parent
# Seconds that may pass at a test's end.
TEARDOWN_LIMIT = 60
CI = os.environ.get("CI") == "true"


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run under asyncio, the loop that the package is written for."""
    return "asyncio"


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository."""
    return ROOT


@pytest.fixture
def open_folder() -> Generator[Path, None, None]:
    """Return a folder that other users can enter; those of `tmp_path` are closed to them."""
    with tempfile.TemporaryDirectory(prefix="wirewright-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def wireguard_go() -> Path:
    """Return the wireguard-go program that the test set-up installed (scripts/install_wireguard_go.py)."""
    return installed("wireguard-go", "install_wireguard_go.py")


@pytest.fixture(scope="session")
def without_capabilities() -> list[str]:
    """Return what to put in front of a command so that it runs with no capability and can gain none."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        missing("setpriv", "install util-linux")
    # Only who holds CAP_SETPCAP may shrink the bounding set; others have no capabilities to drop.
    bounding = ["--bounding-set=-all"] if os.geteuid() == 0 else []
    return [setpriv, *bounding, "--inh-caps=-all", "--no-new-privs"]


def installed(program: str, script: str) -> Path:
    """Return another implementation's program, as a script of the test set-up installs it."""
    path = ROOT / ".cache" / "bin" / program
    if not path.exists():
        missing(program, f"run `make test` once, or `python scripts/{script}`")
    return path


def missing(tool: str, remedy: str) -> NoReturn:
    """Skip a test that needs `tool`; under CI=true, fail it."""
    message = f"{tool} is not installed: {remedy}"
    if CI:
        pytest.fail(f"{message} (with CI=true nothing is skipped)")
    pytest.skip(message)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, once those that are not wanted are left out."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = long_first(items, workers, ROOT)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test that needs the system, or others' programs, into a failure where CI=true."""
    report = yield
    must = item.get_closest_marker("interop") or item.get_closest_marker("lab")
    if CI and report.skipped and not hasattr(report, "wasxfail") and must:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"a test that needs the system was skipped though CI=true: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """End the process if a fixture does not end: after a failure, pytest's own limits are no longer armed."""
    faulthandler.dump_traceback_later(TEARDOWN_LIMIT, exit=True)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
