"""The process that is in the terminal: it starts the two others, and stands for the command.

# Theory

Signals are blocked and taken one by one, with where they came from. What another process sends is passed on;
what the terminal sends came to the command as well, which is in the same process group. When the command
stops, so does this process, by the same signal: the shell sees its job stop, and when it continues the job,
the command goes on. The engine is in a session of its own, and serves on meanwhile.

Whichever process ends first ends the others. The command's end makes the pipe ``stop`` end, by which the
engine ends; the engine's end has the command killed; and the end of this process does both, since the kernel
closes the pipe and kills its children.

The command's end is told in two steps, though. A byte in ``stop`` says that the engine shall end when what
the command sent has gone out (:mod:`~wirewright.confine.lingering`); a signal that asks to end meanwhile, or
the pipe's end, has it end at once. The status is the command's in any case.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from wirewright.confine import engine, inside
from wirewright.confine.channel import Complaint
from wirewright.confine.errors import ConfineError
from wirewright.host import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PATIENCE: Final = 5.0
"""Seconds that a child may take to end when the other did."""
SOON: Final = 2.0
"""Seconds after which somebody at a terminal is told what is waited for."""
_FATAL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# What tells of a mistake in this process is not for others.
_OWN: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP)
_SYSTEM: Final = 0x80
"""What ``si_code`` is if the terminal, or anything else in the kernel, sent it (SI_KERNEL)."""


def run(conf: Path, command: Sequence[str], tell: Callable[[str], None]) -> int:
    """Run a command in the tunnel of a file; give its exit status, or 128 and the number of a signal.

    What the command sent is waited for; ``tell`` is given a sentence if that takes long, or is in vain.
    Raises ConfineError if the command could not begin, or lost its tunnel.
    """
    descriptors.occupy_standard(inheritable=False)
    signals = _Signals()
    try:
        return _Session(conf, command, signals).run(tell)
    finally:
        signals.restore()


class _Signals:
    """Takes all signals from this process's handlers, and remembers what was before."""

    def __init__(self) -> None:
        self.taken = set(signal.valid_signals()) - set(_OWN)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.taken)
        # Children of who ignores it leave no exit status.
        self._child = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def restore(self) -> None:
        """Have it as it was."""
        signal.signal(signal.SIGCHLD, self._child)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def give_to_command(self) -> None:
        """Have it as it was before Python began."""
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        self.restore()


class _Session:
    def __init__(self, conf: Path, command: Sequence[str], signals: _Signals) -> None:
        self._signals = signals
        near, far = socket.socketpair()
        stop_reading, self._stop = os.pipe()
        self._engine_says, self._command_says = Complaint(), Complaint()

        def serve() -> None:
            engine.prepare()
            descriptors.close_others(near.fileno(), stop_reading, self._engine_says.writing)
            if left := engine.serve(conf, near, stop_reading, lambda error: _end(self._engine_says, error)):
                self._engine_says.write(ConfineError(str(left)))

        def become() -> None:
            near.close()
            inside.prepare(far)
            inside.execute(command, parent, signals.give_to_command)

        parent = os.getpid()
        self._engine: int | None = _fork(serve, self._engine_says)
        self._command: int | None = _fork(become, self._command_says)
        for end in (near, far):
            end.close()
        os.close(stop_reading)
        self._engine_says.close_writing()
        self._command_says.close_writing()

    def run(self, tell: Callable[[str], None]) -> int:
        """Pass signals on until the command ends, and wait until what it sent has gone out."""
        try:
            while True:
                status = self._reap()
                if status is not None:
                    self._linger(tell)
                    return status
                self._pass_on(signal.sigwaitinfo(self._signals.taken))
        finally:
            self._end_children()

    def _reap(self) -> int | None:
        """Look after children that changed; the status, if the command ended."""
        while True:
            try:
                pid, state = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                pid, state = 0, 0
            if pid == 0:
                return None
            if pid == self._command:
                if os.WIFSTOPPED(state):
                    self._stop_too(os.WSTOPSIG(state))
                    continue
                self._command = None
                if self._command_says.error() is None:
                    return 128 + os.WTERMSIG(state) if os.WIFSIGNALED(state) else os.WEXITSTATUS(state)
                raise self._why(state)
            if pid == self._engine and not os.WIFSTOPPED(state):
                self._engine = None
                raise self._why(state)

    def _why(self, state: int) -> ConfineError:
        """Find out what went wrong, of the child that ended or of the other, which does, too."""
        begun = self._has_begun()
        if not begun and self._told() is None:
            if self._engine is not None:
                state = self._await(self._engine) or state
            elif self._command is not None:
                self._await(self._command)
        return self._told() or _lost(state, begun=begun)

    def _told(self) -> ConfineError | None:
        errors = (self._command_says.error(), self._engine_says.error())
        return next((error for error in errors if error and str(error)), None)

    def _await(self, child: int) -> int | None:
        """Wait for a child that is to end; its state, or None if it takes too long."""
        while True:
            pid, state = os.waitpid(child, os.WNOHANG)
            if pid:
                if pid == self._command:
                    self._command = None
                else:
                    self._engine = None
                return state
            if signal.sigtimedwait([signal.SIGCHLD], PATIENCE) is None:
                return None

    def _has_begun(self) -> bool:
        return self._command_says.is_over() and self._command_says.error() is None

    def _pass_on(self, sent: signal.struct_siginfo) -> None:
        if sent.si_signo == signal.SIGCHLD or self._command is None:
            return
        if sent.si_signo in _FATAL and not self._has_begun():
            # Those two would not notice yet.
            raise SystemExit(128 + sent.si_signo)
        if sent.si_code != _SYSTEM and sent.si_pid != self._command:
            _send(self._command, sent.si_signo)

    def _stop_too(self, number: int) -> None:
        with _terminal() as terminal:
            if number == signal.SIGSTOP and terminal is None:
                # Somebody examines the command, and may continue it alone: no shell waits for us to stop.
                return
            foreground = _foreground(terminal)
            os.kill(os.getpid(), number)
            # Here it stops, unless there is no shell that would continue it; and from here it goes on.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
            if self._command is None:
                return
            if terminal is not None and _foreground(terminal) == os.getpgrp():
                # A command that has job control is a group of its own, of which the shell does not know.
                _give_terminal(terminal, self._command, foreground)
            _send(self._command, signal.SIGCONT)

    def _linger(self, tell: Callable[[str], None]) -> None:
        """Have the engine end when it may, and wait for that, or for a signal that asks to end."""
        # The one that ended the command may have come to us, too; it is no second one.
        while signal.sigtimedwait(_FATAL, 0) is not None:
            pass
        with suppress(BrokenPipeError):
            os.write(self._stop, b"e")
        soon: float | None = SOON
        while self._engine is not None:
            pid, state = os.waitpid(self._engine, os.WNOHANG)
            if pid:
                self._engine = None
                if error := self._engine_says.error() or (state and _lost(state, begun=False)):
                    tell(f"{error}")
                return
            awaited = (signal.SIGCHLD, *_FATAL)
            sent = signal.sigwaitinfo(awaited) if soon is None else signal.sigtimedwait(awaited, soon)
            if sent is not None and sent.si_signo in _FATAL:
                return
            if sent is None:
                soon = None
                if os.isatty(2):
                    tell("the tunnel waits until what was sent has arrived; CTRL-C ends it at once")

    def _end_children(self) -> None:
        begun = self._has_begun()
        if self._command is not None:
            _send(self._command, signal.SIGKILL)
            os.waitpid(self._command, 0)
        os.close(self._stop)
        if self._engine is None:
            return
        if begun:
            # It wipes its keys as it ends.
            self._await(self._engine)
        if self._engine is not None:
            _send(self._engine, signal.SIGKILL)
            os.waitpid(self._engine, 0)


def _fork(body: Callable[[], None], complaint: Complaint) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        body()
    except BaseException as error:
        # A child never returns into what its parent does.
        _end(complaint, error)
    os._exit(0)


def _end(complaint: Complaint, error: BaseException) -> NoReturn:
    try:
        complaint.write(_explained(error))
    finally:
        os._exit(1)


def _explained(error: BaseException) -> ConfineError | None:
    if isinstance(error, inside.OtherEnded):
        return None
    if isinstance(error, ConfineError):
        return error
    from wirewright.config import ConfigError  # noqa: PLC0415 - only if something went wrong
    from wirewright.host.errors import words  # noqa: PLC0415

    return ConfineError(str(error) if isinstance(error, ConfigError) else words(error))


def _lost(state: int, *, begun: bool) -> ConfineError:
    how = f"signal {os.WTERMSIG(state)}" if os.WIFSIGNALED(state) else f"status {os.WEXITSTATUS(state)}"
    rest = "; the command was killed with it" if begun else ""
    return ConfineError(f"the process behind the tunnel ended ({how}){rest}")


@contextmanager
def _terminal() -> Iterator[int | None]:
    """Open the terminal that controls us, if there is one."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _foreground(terminal: int | None) -> int:
    """Give the process group that has the terminal; 0 if there is none."""
    with suppress(OSError):
        return os.tcgetpgrp(terminal) if terminal is not None else 0
    return 0


def _give_terminal(terminal: int, command: int, foreground: int) -> None:
    """Give a command the terminal back that it had before."""
    with suppress(OSError):
        if foreground == os.getpgid(command) != os.getpgrp():
            os.tcsetpgrp(terminal, foreground)


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
