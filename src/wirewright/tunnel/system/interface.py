"""``Interface``: a WireGuard interface of the system, whichever engine is behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from wirewright.config import Config, ConfigError
from wirewright.host.errors import words
from wirewright.host.kernel.engine import KernelEngine
from wirewright.host.userspace.engine import UserspaceEngine
from wirewright.tunnel.system import changes, down, facts, saving, shared, up
from wirewright.tunnel.system.errors import InterfaceError, InterruptedPlanError
from wirewright.tunnel.system.files import DIRECTORY, check_name, find_file
from wirewright.tunnel.system.host import Host
from wirewright.tunnel.system.plan import carry_out, deferred_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from wirewright.host.device import DeviceChange, DeviceState
    from wirewright.host.engine import Engine, EngineChoice
    from wirewright.host.resolver import Resolver
    from wirewright.tunnel.system.plan import Step


def _silent(_: str) -> None:
    pass


class Interface:
    """A WireGuard interface of this system, by its name; it need not exist yet.

    ``engine`` is "kernel", "wirewright" (a process of ours behind a TUN device), or "auto": that of the
    interface if it exists, else the kernel's where the kernel has WireGuard, else ours. All methods raise
    OSError; those that change the host raise :class:`InterfaceError`, whose text says what failed and that
    all was undone.
    """

    def __init__(self, name: str, config: Config | None = None, *, engine: EngineChoice = "auto") -> None:
        check_name(name)
        self.name = name
        self.config = config
        self.file: Path | None = None
        """Where the configuration was read from."""
        self.problem: ConfigError | None = None
        """Why there is no configuration, though there is a file."""
        self._choice: EngineChoice = engine

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, engine: EngineChoice = "auto") -> Self:
        """Read a ``wg-quick`` file; its name without ``.conf`` is that of the interface."""
        file = find_file(path)
        interface = cls(file.name.removesuffix(".conf"), Config.from_file(file), engine=engine)
        interface.file = file
        return interface

    @classmethod
    def existing(cls, name: str | os.PathLike[str]) -> Self:
        """Give an interface that is there, by its name or its file; it may have come without a file.

        A file that is not understood is no reason to leave it up: its hooks are then not known, and
        :attr:`problem` says why.
        """
        file = find_file(name)
        interface = cls(file.name.removesuffix(".conf"))
        if file.is_file():
            interface.file = file
            try:
                interface.config = Config.from_file(file)
            except ConfigError as error:
                interface.problem = error
        return interface

    def engine(self) -> Engine:
        """Give the engine behind it, or that which would make it. Raises InterfaceError if there is none."""
        engines: dict[str, Engine] = {"kernel": KernelEngine(), "wirewright": UserspaceEngine()}
        for engine in (engines["wirewright"], engines["kernel"]):
            if engine.has(self.name):
                if self._choice not in {"auto", engine.name}:
                    raise InterfaceError(
                        f"{self.name} is served by the engine {engine.name!r}, not {self._choice!r}"
                    )
                return engine
        wanted = ["kernel", "wirewright"] if self._choice == "auto" else [self._choice]
        reasons = []
        for name in wanted:
            why = engines[name].why_absent()
            if why is None:
                return engines[name]
            reasons.append(why)
        raise InterfaceError("; ".join(reasons))

    @property
    def exists(self) -> bool:
        """Whether there is a WireGuard interface of this name."""
        return UserspaceEngine().has(self.name) or KernelEngine().has(self.name)

    def up(self, tell: Callable[[str], None] = _silent) -> None:
        """Make the interface and all that belongs to it, or nothing; `tell` hears of each step before."""
        engine = self.engine()
        with Host(engine) as host:
            carry_out(host, self._steps_up(host), tell)

    def steps_up(self) -> list[str]:
        """Give what :meth:`up` would do, as commands that people know."""
        with Host(self.engine()) as host:
            return [step.describe() for step in self._steps_up(host)]

    def down(self, tell: Callable[[str], None] = _silent) -> None:
        """Delete the interface and all that belongs to it; what cannot be is told at the end.

        A signal that asks to end is told at the end, too, as InterruptedPlanError.
        """
        with Host(self._left()) as host:
            self._take_down(host, self._steps_down(host), tell)

    def steps_down(self) -> list[str]:
        """Give what :meth:`down` would do, as commands that people know."""
        with Host(self._left()) as host:
            return [step.describe() for step in self._steps_down(host)]

    def state(self) -> DeviceState:
        """Tell its keys, settings and peers."""
        return self._existing().get(self.name)

    def set(self, change: DeviceChange) -> None:
        """Change its keys, settings and peers."""
        self._existing().set(self.name, change)

    def counters(self) -> dict[str, int] | None:
        """Tell what was dropped and why; None where the engine does not count it."""
        engine = self._existing()
        if not isinstance(engine, UserspaceEngine):
            return None
        try:
            return engine.counters(self.name)
        except OSError:
            # Another implementation's.
            return None

    def is_silent(self) -> bool:
        """Whether it is up, and nothing comes or goes since another program has its UDP port."""
        engine = self._existing()
        try:
            return engine.is_silent(self.name)
        except OSError:
            # Another implementation's.
            return False

    def is_alive(self) -> bool:
        """Whether it is there, and its engine answers."""
        if not UserspaceEngine().has(self.name):
            return KernelEngine().has(self.name)
        try:
            UserspaceEngine().counters(self.name)
        except (TimeoutError, ConnectionError, FileNotFoundError):
            return False
        except OSError:
            # Another implementation's, which knows no counters: an answer, too.
            return True
        return True

    def setconf(self, config: Config) -> None:
        """Have it say what a configuration says, and nothing else: peers begin anew."""
        self.set(changes.whole(config, facts.endpoints(config, facts.resolve)))

    def addconf(self, config: Config) -> None:
        """Add to it what a configuration says."""
        self.set(changes.addition(config, facts.endpoints(config, facts.resolve)))

    def syncconf(self, config: Config) -> DeviceChange:
        """Have it say what a configuration says, changing only what differs; return what did."""
        change = changes.difference(self.state(), config, facts.endpoints(config, facts.resolve))
        if not changes.says_nothing(change):
            self.set(change)
        return change

    def save(self) -> None:
        """Write its state into its file, keeping comments and what is not of the interface itself.

        Raises also ConfigError: the file is not understood.
        """
        with Host(self._existing()) as host:
            self._saving().do(host)

    def _saving(self) -> saving.Save:
        if self.file is None:
            raise InterfaceError(f"{self.name} has no file to be saved into: {DIRECTORY / self.name}.conf")
        return saving.Save(self.name, self.file)

    def _existing(self) -> Engine:
        if not self.exists:
            raise InterfaceError(f"{self.name} is not a WireGuard interface")
        return self.engine()

    def _left(self) -> Engine:
        """Give the engine of what is to be taken down: the interface may have gone, and left traces."""
        return self.engine() if down.has_traces(self.name) else self._existing()

    def _configured(self) -> Config:
        if self.config is None:
            raise InterfaceError(f"{self.name}: there is no configuration to set it up from")
        return self.config

    def _steps_up(self, host: Host) -> Sequence[Step]:
        config = self._configured()
        if host.network.link(self.name) is not None:
            raise InterfaceError(f"an interface called {self.name} exists already")
        known = facts.gather(config, host, facts.resolve)
        return up.plan(self.name, config, known, host.engine.name, self._resolver(config))

    def _steps_down(self, host: Host) -> Sequence[Step]:
        resolvers: Sequence[Resolver] = ()
        told = shared.is_needed_by(shared.RESOLVER, self.name)
        if told or self.config is None or self.config.interface.dns_servers:
            from wirewright.host.resolver import present  # noqa: PLC0415 - loads D-Bus

            # Which one was told, may have changed since.
            resolvers = present()
        save = self._saving() if self.config and self.config.interface.save_config else None
        state = self.state() if self.exists else None
        return down.plan(self.name, self.config, state, host.network, resolvers, save if state else None)

    @staticmethod
    def _resolver(config: Config) -> Resolver | None:
        if not config.interface.dns_servers:
            return None
        from wirewright.host.resolver import choose  # noqa: PLC0415 - loads D-Bus

        return choose()

    def _take_down(self, host: Host, steps: Sequence[Step], tell: Callable[[str], None]) -> None:
        left = []
        with deferred_signals() as patience:
            for step in steps:
                tell(step.describe())
                try:
                    step.do(host)
                except Exception as error:
                    left.append(f"{step.describe()}: {words(error)}")
        but = f", but: {'; '.join(left)}" if left else ""
        if patience.number:
            # All the same: half an interface is worse than either.
            raise InterruptedPlanError(
                patience.number,
                f"interrupted; {self.name} was taken down all the same{but}",
                is_whole=not left,
            )
        if left:
            raise InterfaceError(f"{self.name} was taken down{but}")


def interfaces() -> list[str]:
    """Give the names of all WireGuard interfaces of this network namespace."""
    found = UserspaceEngine().interfaces()
    return sorted({*found, *KernelEngine().interfaces()})
