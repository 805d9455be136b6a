"""psycopg and redis-py, unchanged, with Debian's PostgreSQL and Redis behind a rootless tunnel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.house.text import code_blocks
from tests.lab.confined import WITHOUT_PRIVILEGES, Desk, desk, owned
from tests.lab.databases import PASSWORD, postgresql, redis
from tests.lab.drivers import WHAT
from tests.lab.resolvers import names

pytestmark = pytest.mark.timeout(240)

PAGE = ROOT / "docs" / "databases.md"
OFFICE = "10.7.0.2"


@contextmanager
def furnished(folder: Path) -> Iterator[Desk]:
    """Open an office with both, and a server that knows their names."""
    with ExitStack() as ended:
        with desk(more=f"DNS = {OFFICE}, example\n") as at:
            for serve in (names, postgresql, redis):
                # They end with their host.
                ended.callback(serve(at.lab["b"], OFFICE, folder).wait)
            yield at


def python(at: Desk, *words: str) -> str:
    """Run Python in the host without an interface of the tunnel's, as somebody without privileges."""
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(at.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    shell = ("sh", "-c", 'cd "$0" && exec "$@"', str(at.folder))
    done = at.machine.run(
        *WITHOUT_PRIVILEGES, *shell, sys.executable, *words, env=environment, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_drivers_reach_their_servers_and_what_happens_there_reaches_them(tmp_path: Path) -> None:
    with furnished(tmp_path) as at:
        said = python(at, str(Path(__file__).with_name("drivers.py")), str(at.conf))
        assert said.split() == [each.__name__ for each in WHAT]


def test_the_python_of_the_page_runs(tmp_path: Path) -> None:
    with furnished(tmp_path) as at:
        file = at.folder / "db.password"
        file.write_text(f"{PASSWORD}\n")
        owned(file)
        said = python(at, "-W", "error", "-m", "tests.docs.page", str(PAGE))
        assert said.count("ran ") == len(list(code_blocks(PAGE, "python")))
        assert said.count("(42,)") == 2
        assert "b'hello'" in said
