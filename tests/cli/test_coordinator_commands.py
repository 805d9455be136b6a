"""The commands that ask a coordinator: ``ww device``, ``ww invite``, ``ww user`` and so on, on a live one."""

from __future__ import annotations

import contextlib
import os
import pty
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.coordinating import Desk, coordinating, without_gateway
from tests.cli.running import COMMAND
from tests.coordinator.actors import key
from wirewright.cli import completing
from wirewright.cli.completing import ROLES, SCOPES
from wirewright.config import Config
from wirewright.coordinator.services.access import Role, Scope


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a coordinator that runs, with a gateway, a pool of each family, and users."""
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    with coordinating(without_gateway(state, public_url="https://vpn.example/office")):
        desk = Desk(tmp_path_factory.mktemp("settling"), state)
        made = desk.json("gateways", "add", "office", "--endpoint", "vpn.example:51820", "--dns", "10.88.0.1")
        assert made["credential"].startswith("wwg_")
        for network in ("10.88.0.0/24", "fd88::/64"):
            desk.json("pool", "add", network)
        with desk.client() as client:
            client.change(f"/gateways/{made['id']}", {"public_key": key()})
        yield state


@pytest.fixture
def desk(state: Path, tmp_path: Path) -> Desk:
    return Desk(tmp_path, state)


@pytest.fixture
def names(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return f"n{abs(hash(request.node.name)) % 10**9}"


def device(desk: Desk, name: str, *more: str) -> dict[str, object]:
    return desk.json("device", "add", name, *more, stdin=key())


def member(desk: Desk, name: str, role: str = "member") -> Desk:
    """The desk of a new user."""
    desk.json("user", "add", name, "--role", role)
    return desk.sits(desk.json("user", "token", name)["token"], name)


def test_a_device_is_added_from_its_public_key_and_shown(desk: Desk, names: str) -> None:
    own = key()
    made = desk.json("device", "add", names, stdin=f"{own}\n")
    assert made["public_key"] == own
    assert made["tunnel"]["endpoint"] == "vpn.example:51820"
    shown = desk.ww("device", "show", names)
    assert shown.returncode == 0
    for text in (own, made["id"], *made["addresses"], "0.0.0.0/0,::/0", "active", "never"):
        assert text in shown.stdout
    assert desk.json("device", "show", made["id"]) == desk.json("device", "show", names)


def test_a_public_key_is_never_an_argument(desk: Desk, names: str) -> None:
    done = desk.ww("device", "add", names, "--public-key", own := key())
    assert done.returncode == 2
    assert "stands among the arguments" in done.stderr
    assert own not in done.stderr


def test_a_device_whose_key_is_made_here_has_its_configuration(desk: Desk, names: str) -> None:
    file = desk.folder / "laptop.conf"
    made = desk.json("device", "add", names, "--config", str(file), "--allowed-ips", "pools,192.0.2.0/24")
    assert made["file"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = Config.from_file(file)
    assert config.interface.private_key is not None
    assert str(config.interface.private_key.public_key) == made["public_key"]
    (peer,) = config.peers
    allowed = {str(network) for network in peer.allowed_ips}
    assert allowed == {"10.88.0.0/24", "fd88::/64", "192.0.2.0/24"}
    before = len(desk.json("device", "list")["devices"])
    again = desk.ww("device", "add", names, "--config", str(file))
    assert (again.returncode, again.stdout) == (1, "")
    assert "there is such a file already" in again.stderr
    assert len(desk.json("device", "list")["devices"]) == before
    assert sorted(path.name for path in desk.folder.iterdir()) == ["laptop.conf", "stderr", "stdout"]


def test_a_device_without_its_file_is_taken_back(desk: Desk, names: str) -> None:
    desk.json("gateways", "add", names, "--endpoint", "vpn.example:51821")
    # With room for one device, so that an address in quarantine would be missed.
    desk.json("pool", "add", "10.66.0.0/30", "--gateway", names)
    file = desk.folder / "laptop.conf"
    for _ in range(2):
        done = desk.ww("device", "add", names, "--config", str(file), "--gateway", names)
        assert done.returncode == 1
        assert "has not told its public key yet" in done.stderr
        assert "once somebody has started it (ww gateway)" in done.stderr
        assert names not in desk.ww("device", "list").stdout
        assert not file.exists()
    desk.json("pool", "remove", "10.66.0.0/30")
    desk.json("gateways", "remove", names)


@pytest.mark.parametrize(
    ("file", "said"), [(".", "this is a folder"), ("no/x.conf", "no/x.conf: No such file")]
)
def test_a_file_that_cannot_be_is_told_before_the_device_is_made(
    desk: Desk, names: str, file: str, said: str
) -> None:
    done = desk.ww("device", "add", names, "--config", str(desk.folder / file), "--force")
    assert done.returncode == 1
    assert said in done.stderr
    assert names not in {each["detail"].get("name") for each in desk.json("audit")["entries"]}


def test_a_public_key_may_lie_open_to_all(desk: Desk, names: str) -> None:
    file = desk.folder / "laptop.pub"
    file.write_text(f"{(own := key())}\n")
    file.chmod(0o644)
    assert desk.json("device", "add", names, "--public-key", str(file))["public_key"] == own


def test_a_member_names_one_of_several_gateways(desk: Desk, names: str) -> None:
    ann = member(desk, names)
    made = desk.json("gateways", "add", names, "--endpoint", "vpn.example:51822")
    try:
        unsaid = ann.ww("device", "add", names, stdin=key())
        assert unsaid.returncode == 1
        assert "Name the gateway: there are " in unsaid.stderr
        assert names in unsaid.stderr
        assert "office" in unsaid.stderr
        for gateway in (names, made["id"]):
            device = ann.json("device", "add", names, "--gateway", str(gateway), stdin=key())
            assert device["gateway"] == made["id"]
            ann.json("device", "remove", str(device["id"]))
    finally:
        desk.json("gateways", "remove", names)


def test_devices_are_listed_with_tabs_where_it_is_no_terminal(desk: Desk, names: str) -> None:
    made = device(desk, names)
    (line,) = [
        line for line in desk.ww("device", "list").stdout.splitlines() if line.startswith(f"{names}\t")
    ]
    assert line.split("\t")[1].split(",") == made["addresses"]
    assert line.endswith(str(made["id"]))
    assert made["id"] in {each["id"] for each in desk.json("device", "list")["devices"]}


def test_disabling_enabling_and_removing_a_device(desk: Desk, names: str) -> None:
    device(desk, names)
    assert desk.ww("device", "disable", names).stderr == f"{names} is disabled\n"
    assert desk.json("device", "show", names)["active"] is False
    assert desk.ww("device", "enable", names).stderr == f"{names} is active\n"
    assert desk.json("device", "remove", names)["removed"]
    done = desk.ww("device", "show", names)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ww: There is no device called {names!r}.\n"


def test_what_a_device_may_reach_is_said_in_words(desk: Desk, names: str) -> None:
    allowed = ("--allow", "10.0.0.0/8,fd00::/8 tcp 22,8000-8999", "--allow", "192.0.2.0/24")
    made = device(desk, names, *allowed)
    assert made["policy"] == [
        {"destinations": ["10.0.0.0/8", "fd00::/8"], "protocol": "tcp", "ports": ["22", "8000-8999"]},
        {"destinations": ["192.0.2.0/24"], "protocol": "any", "ports": []},
    ]
    assert "10.0.0.0/8,fd00::/8 tcp 22,8000-8999\n" in desk.ww("device", "show", names).stdout
    policy = desk.folder / "policy.json"
    policy.write_text('[{"destinations": ["203.0.113.0/24"]}]')
    changed = desk.json("device", "set", names, "--policy", str(policy), "--expires", "1h")
    assert changed["policy"][0]["destinations"] == ["203.0.113.0/24"]
    assert changed["expires_at"] is not None
    changed = desk.json("device", "set", names, "--allow-nothing", "--expires", "never")
    assert (changed["policy"], changed["expires_at"]) == ([], None)


def test_a_device_on_lease_has_no_address_but_can_ask_for_one(desk: Desk, names: str) -> None:
    file = desk.folder / "phone.conf"
    made = desk.json("device", "add", names, "--on-lease", "--config", str(file), "--allowed-ips", "pools")
    assert made["addresses"] == []
    config = Config.from_file(file)
    assert config.interface.addresses == ()
    allowed = {str(network) for network in config.peers[0].allowed_ips}
    assert allowed == {"fe80::/128", "10.88.0.0/24", "fd88::/64"}


def test_several_of_a_name_are_told_apart_by_their_identifiers(desk: Desk, names: str) -> None:
    first, second = device(desk, names), device(desk, names)
    done = desk.ww("device", "disable", names)
    assert done.returncode == 1
    assert str(first["id"]) in done.stderr
    assert str(second["id"]) in done.stderr


def test_an_invitation_is_a_link_with_the_secret_behind_its_mark(desk: Desk, names: str) -> None:
    done = desk.ww("invite", "add", names, "--uses", "2", "--expires", "2d", "--device-expires", "12h")
    assert done.returncode == 0
    assert done.stdout.startswith("https://vpn.example/office/#wwi_")
    assert "2 devices" in done.stderr
    shown = desk.json("invite", "show", names)
    assert (shown["uses_left"], shown["device_lifetime_seconds"]) == (2, 43_200)
    assert "wwi_" not in desk.ww("invite", "show", names).stdout
    assert f"{names}\t2 of 2\topen\t" in desk.ww("invite", "list").stdout
    assert desk.ww("invite", "remove", names).returncode == 0
    assert names not in desk.ww("invite", "list").stdout


def test_an_invitation_says_that_its_devices_ask_for_their_addresses(desk: Desk, names: str) -> None:
    assert desk.json("invite", "add", names, "--on-lease")["on_lease"] is True
    assert "asked for on lease" in desk.ww("invite", "show", names).stdout
    assert desk.json("invite", "add", f"{names}-2")["on_lease"] is False
    assert "the next free ones" in desk.ww("invite", "show", f"{names}-2").stdout


def test_a_secret_goes_to_a_file_that_only_its_owner_reads(desk: Desk, names: str) -> None:
    file = desk.folder / "invitation"
    done = desk.ww("invite", "add", names, "--output", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "#wwi_" in file.read_text()
    again = desk.ww("invite", "add", f"{names}-2", "-o", str(file), "--json")
    assert again.returncode == 1
    assert "there is such a file already" in again.json_error
    assert f"{names}-2" not in desk.ww("invite", "list").stdout


def test_users_and_their_tokens(desk: Desk, names: str) -> None:
    ann = member(desk, names)
    assert "This takes the scope invitations:write" in ann.ww("invite", "add", "x").stderr
    made = device(ann, names)
    assert made["user"] == desk.json("user", "show", names)["id"]
    assert [each["id"] for each in ann.json("device", "list")["devices"]] == [made["id"]]
    assert ann.ww("device", "disable", names).returncode == 1
    (token,) = ann.json("user", "tokens")["tokens"]
    assert desk.json("user", "set", names, "--role", "operator")["role"] == "operator"
    assert ann.json("invite", "add", names)["invitation"].startswith("https://")
    assert desk.ww("user", "disable", names).returncode == 0
    refused = ann.ww("device", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "unknown, expired, or its user is disabled" in refused.stderr
    assert desk.ww("user", "enable", names).returncode == 0
    assert desk.ww("user", "revoke", token["id"]).returncode == 0
    assert ann.ww("device", "list").returncode == 1
    kept = desk.ww("user", "remove", names)
    assert (kept.returncode, kept.stderr) == (1, f"ww: {names} still has devices; remove them first.\n")
    desk.json("device", "remove", str(made["id"]))
    assert desk.ww("user", "remove", names).returncode == 0


def test_an_operator_may_not_what_an_admin_may(desk: Desk, names: str) -> None:
    operator = member(desk, names, "operator")
    device(operator, names)
    for arguments in (
        ["user", "add", "someone"],
        ["gateways", "add", "other", "--endpoint", "a:1"],
        ["pool", "add", "10.99.0.0/24"],
    ):
        done = operator.ww(*arguments, "--json")
        assert done.returncode == 1
        assert "This takes the scope" in done.json_error


def test_a_token_is_no_argument(desk: Desk) -> None:
    done = desk.ww("user", "revoke", f"wwt_{'a' * 16}_{'b' * 32}")
    assert done.returncode == 2
    assert "by its identifier" in done.stderr


def test_a_gateway_is_registered_changed_and_removed(desk: Desk, names: str) -> None:
    file = desk.folder / "credential"
    arguments = ("--endpoint", "[2001:db8::7]:51820", "-o", str(file))
    made = desk.json("gateways", "add", names, *arguments)
    assert "credential" not in made
    first = file.read_text()
    assert first.startswith("wwg_")
    changed = desk.json("gateways", "set", names, "--dns", "10.99.0.1", "--mtu", "1400")
    assert (changed["dns"], changed["mtu"]) == (["10.99.0.1"], 1400)
    assert desk.json("gateways", "set", names, "--no-dns")["dns"] == []
    assert desk.json("gateways", "credential", names)["credential"] != first.strip()
    shown = desk.ww("gateways", "show", names).stdout
    assert "not told yet" in shown
    assert f"{names}\t[2001:db8::7]:51820\tnever\t" in desk.ww("gateways", "list").stdout
    assert desk.ww("gateways", "remove", names).returncode == 0


def test_pools_and_reservations(desk: Desk) -> None:
    made = desk.json("pool", "add", "10.77.0.0/24", "--gateway", "office", "--quarantine", "10m")
    assert made["quarantine_seconds"] == 600
    assert "10.77.0.0/24\toffice\t1\t0\t" in desk.ww("pool", "list").stdout
    assert desk.ww("pool", "reserve", "10.77.0.9", "--note", "printer").returncode == 0
    assert "10.77.0.9\t-\tprinter\t" in desk.ww("pool", "reserved").stdout
    in_use = desk.ww("pool", "remove", "10.77.0.0/24")
    assert (in_use.returncode, in_use.stdout) == (1, "")
    assert desk.ww("pool", "release", "10.77.0.9").returncode == 0
    assert desk.ww("pool", "remove", "10.77.0.0/24").returncode == 0
    assert desk.json("pool", "leases") == {"leases": []}


def test_the_audit_log_ends_with_what_was_done_last(desk: Desk, names: str) -> None:
    made = device(desk, names)
    desk.json("device", "disable", names)
    entries = desk.json("audit", "-n", "2")["entries"]
    assert [each["action"] for each in entries] == ["device.create", "device.update"]
    assert {each["subject"] for each in entries} == {made["id"]}
    lines = desk.ww("audit", "--action", "device.update", "--subject", str(made["id"])).stdout.splitlines()
    assert len(lines) == 1
    assert "user admin\t127.0.0.1\tdevice.update" in lines[0]


def test_an_ordinary_terminal_has_to_whom_it_was_done(desk: Desk, names: str) -> None:
    made = device(desk, names)
    subject = str(made["id"])
    shown = on_terminal("audit", "--subject", subject, "--state-directory", str(desk.state))
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("user admin", "127.0.0.1", "device.create", subject):
        assert text in shown


def on_terminal(*arguments: str) -> str:
    """Run a command on a terminal of 80 columns, and give what it shows."""
    main, terminal = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    process = subprocess.Popen([*COMMAND, *arguments], stdout=terminal, env=environment)
    os.close(terminal)
    shown = b""
    # Once nobody has the terminal any more, reading it fails.
    with contextlib.suppress(OSError), os.fdopen(main, "rb", buffering=0) as file:
        while piece := file.read(4096):
            shown += piece
    assert process.wait(timeout=30) == 0
    return shown.decode()


MISTAKES = [
    (["device", "add", "x", "--allow", "a b c d"], "--allow: "),
    (["device", "add", "x", "--expires", "soon"], "--expires: 'soon' is neither"),
    (["device", "add", "x", "--allow", "10.0.0.0/8", "--allow-nothing"], "give one kind"),
    (["device", "add", "x", "--allowed-ips", "office"], "--allowed-ips: 'office'"),
    (["device", "set", "x"], "nothing is to differ"),
    (["gateways", "set", "office"], "nothing is to differ"),
    (["gateways", "set", "office", "--dns", "1.1.1.1", "--no-dns"], "cannot both be"),
    (["pool", "add", "10.0.0.0/8", "--quarantine", "long"], "--quarantine: 'long'"),
    (["invite", "add", "x", "--device-expires", "never"], "--device-expires: 'never'"),
    (["invite", "add", "x", "--uses", "0"], "--uses"),
    (["audit", "-n", "0"], "-n"),
    (["device", "shwo", "x"], "No such command 'shwo'"),
]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_a_mistake_in_the_arguments_is_told_with_status_2(
    desk: Desk, arguments: list[str], said: str, as_json: bool
) -> None:
    done = desk.ww(*arguments, *(["--json"] if as_json else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


REFUSED = [
    (["device", "add", "x"], "no key", "public_key is no public key in base64."),
    (["device", "add", "x", "--address", "foo"], key(), "addresses.0 is no IP address."),
    (["device", "add", "x", "--gateway", "a b"], key(), "gateway has letters, digits and . _ @ - only"),
    (["device", "add", "x", "--allow", "10.0.0.1/8"], key(), "destinations"),
    (["device", "add", "x", "--address", "192.0.2.1"], key(), "lies in no pool"),
    (["device", "add", "x", "--user", "nobody"], key(), "There is no user called 'nobody'"),
    (["device", "add", "x", "--gateway", "nowhere"], key(), "There is no gateway called 'nowhere'"),
    (["device", "add", "x"], "", "The standard input holds something else"),
    (["user", "add", "a b"], "", "name has letters, digits"),
    (["user", "add", "x", "--role", "king"], "", "role is none of 'admin', 'operator' or 'member'."),
    (["pool", "add", "10.88.0.0/16"], "", "overlaps with the pool 10.88.0.0/24"),
    (["gateways", "add", "x", "--endpoint", "nowhere"], "", "An endpoint is HOST:PORT"),
    (["user", "revoke", "nobody"], "", "token is no identifier."),
]


# Workers must agree on the names of tests, and a key is another for each.
@pytest.mark.parametrize(("arguments", "stdin", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_what_the_coordinator_refuses_is_told_in_its_words(
    desk: Desk, arguments: list[str], stdin: str, said: str
) -> None:
    done = desk.ww(*arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert said in desk.ww(*arguments, "--json", stdin=stdin).json_error


def test_a_coordinator_that_is_not_there_is_told(tmp_path: Path) -> None:
    nobody = Desk(tmp_path, tmp_path / "state")
    done = nobody.ww("device", "list")
    assert done.returncode == 1
    assert "Does a coordinator run here, and is it yours?" in done.stderr
    token = nobody.sits(f"wwt_{'a' * 16}_{'b' * 32}", "x")
    done = token.ww("device", "list", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Nobody listens at http://127.0.0.1:9" in done.stderr


def test_a_token_leaves_for_its_own_coordinator_only(desk: Desk) -> None:
    done = desk.ww("device", "list", "--url", "https://elsewhere.example")
    assert done.returncode == 1
    assert "Name the file of a token" in done.stderr
    done = desk.sits("x", "x").ww("device", "list", "--url", "http://192.0.2.1")
    assert "in the clear: use https" in done.stderr


def test_a_token_that_others_may_read_is_refused(desk: Desk, open_folder: Path) -> None:
    file = open_folder / "token"
    file.write_text(f"wwt_{'a' * 16}_{'b' * 32}\n")
    file.chmod(0o644)
    done = desk.ww("device", "list", "--token-file", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ww: Other users may read or write {file}, which holds a token: chmod 600 it.\n"


def test_names_are_completed(
    desk: Desk, names: str, state: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device(desk, names)
    monkeypatch.setenv("WIREWRIGHT_STATE", str(state))
    assert completing.devices(names[:3]).count(names) == 1
    assert completing.users("ad") == ["admin"]
    assert "office" in completing.registered_gateways("")
    monkeypatch.setenv("WIREWRIGHT_STATE", str(tmp_path))
    assert completing.devices("") == []


def test_what_is_completed_is_what_the_coordinator_takes() -> None:
    # It is written twice, so that a shell need not wait for the coordinator.
    assert tuple(Role) == ROLES
    assert tuple(Scope) == SCOPES
