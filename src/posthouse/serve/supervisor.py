"""`posthouse serve`: from root to a running server, and to a clean end.

    supervisor = Supervisor(plan, build, log)
    sys.exit(supervisor.run())

In this order: sockets are bound (for which it may have to be root), the account of the machine is taken on without a
way back, the data folder is locked against a second server, and then the work begins: in this process where one is
enough, else in so many children that share the listening sockets. A child that dies is started again, the sooner the
longer it had lived; what it held is in the store, and what waits in the backlog of the sockets waits for the others.

    SIGTERM, SIGINT   accept no more, finish transactions, give leases back, at most `grace` seconds; again: at once
    SIGHUP            certificates and settings are read again (`Server.reload`)

To systemd it says READY, RELOADING, STOPPING and, where WATCHDOG_USEC is set, that it is alive (sd_notify(3)): the
event loop itself does so, and a parent only while all its children's loops have been heard.
"""

import asyncio
import contextlib
import errno
import fcntl
import gc
import grp
import os
import pwd
import resource
import select
import signal
import socket as sockets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Literal, Protocol, TextIO

from posthouse.serve.listener import ListenError, open_sockets
from posthouse.serve.log import Logger

LOCK = "server.lock"
BEAT_SECONDS = 5.0
# Python's lock goes to a thread that waits for it after so long: a commit is not to wait until the loop has gone once
# round its connections.
SWITCH_SECONDS = 0.0005
GARBAGE_OBJECTS = 10_000  # made and not gone since the last collection
SILENT_SECONDS = 60.0  # without a beat, after which a child is taken for stuck
SHORTEST_LIFE = 60.0  # a child that lived longer is started again at once
LONGEST_PAUSE = 30.0
EXIT_FAILED = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ServeError(Exception):
    """Why the server cannot run; one line."""


class Server(Protocol):
    """What is run: built before the loop, started in it."""

    async def start(self) -> None: ...
    async def stop(self, grace: float | None = None) -> None:
        """May be called again with a shorter grace while the first call is under way."""
        ...

    async def reload(self) -> None:
        """Never raises: what cannot be used is logged, and the old stays."""
        ...


Build = Callable[[Mapping[str, list[socket]], int], Server]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and as whom. `places`: service → (host, port) pairs. `grace` in seconds."""

    places: Mapping[str, tuple[tuple[str, int], ...]]
    data_dir: Path
    user: str = ""
    group: str = ""
    processes: int = 1
    loop: Literal["uvloop", "asyncio"] = "uvloop"
    grace: float = 30.0


class Occupancy:
    """The lock on a data folder: one server at a time. The kernel gives it back when its holder is gone."""

    def __init__(self, data_dir: Path) -> None:
        """ServeError where another server holds it. The folder must be there."""
        path = data_dir / LOCK
        try:
            self._file: TextIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        except OSError as error:
            raise ServeError(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._file.read(20).strip() or "another process"
            self._file.close()
            raise ServeError(f"{data_dir} is in use by a running server (process {holder})") from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def become(user: str, group: str = "") -> None:
    """Take on an account of the machine for good; nothing where none is named. ServeError where that cannot be."""
    if not user:
        return
    try:
        account = pwd.getpwnam(user)
        gid = grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError as error:
        raise ServeError(f"run: there is no such account or group on this machine: {error.args[0]}") from None
    if os.geteuid() != 0:
        if os.geteuid() != account.pw_uid:
            raise ServeError(f"run.user: only root can become {user}")
        return
    os.initgroups(user, gid)
    os.setgid(gid)
    os.setuid(account.pw_uid)
    if account.pw_uid != 0:
        with contextlib.suppress(PermissionError):
            os.setuid(0)
            raise ServeError("run.user: the way back to root is still open")


def raise_descriptor_limit() -> int:
    """As many descriptors as the machine lets us have; gives their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Notifier:
    """Tells systemd how we are (sd_notify(3)); silent where nobody listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        micros = environ.get("WATCHDOG_USEC", "")
        watched = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds = int(micros) / 2_000_000 if micros.isdigit() and watched else None

    def tell(self, *lines: str) -> None:
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(lines).encode(), address)

    def reloading(self) -> None:
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Supervisor:
    """Runs one server to its end."""

    def __init__(self, plan: Plan, build: Build, log: Logger) -> None:
        self._plan = plan
        self._build = build
        self._log = log
        self._notifier = Notifier()

    def run(self) -> int:
        """Serve until a signal ends it; gives the exit code. ServeError, ListenError where it cannot begin."""
        plan = self._plan
        raise_descriptor_limit()
        bound = bind(plan.places)
        _provide_folder(plan)
        become(plan.user, plan.group)
        if os.geteuid() == 0:
            self._log.warning("running as root: run.user should name an account of its own")
        occupancy = Occupancy(plan.data_dir)
        try:
            if plan.processes > 1:
                return _Parent(plan, self._build, bound, self._notifier, self._log).run()
            return run_process(plan, self._build(bound, 0), self._log, _Voice(self._notifier))
        finally:
            occupancy.release()


def bind(places: Mapping[str, tuple[tuple[str, int], ...]]) -> dict[str, list[socket]]:
    """Listening sockets of all services, or ListenError and none."""
    bound: dict[str, list[socket]] = {}
    try:
        for service, pairs in places.items():
            bound[service] = open_sockets(pairs)
    except ListenError:
        for listening in bound.values():
            for each in listening:
                each.close()
        raise
    return bound


def _provide_folder(plan: Plan) -> None:
    try:
        plan.data_dir.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return
    except OSError as error:
        raise ServeError(f"{plan.data_dir}: {error.strerror}") from None
    if plan.user and os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(plan.user)
            os.chown(plan.data_dir, account.pw_uid, grp.getgrnam(plan.group).gr_gid if plan.group else account.pw_gid)


class _Voice:
    """How a serving process says how it is: to systemd where it is alone, else to its parent through a pipe."""

    def __init__(self, notifier: Notifier | None = None, pipe: int = -1) -> None:
        self._notifier = notifier
        self._pipe = pipe
        self.every = (notifier.watchdog_seconds if notifier else BEAT_SECONDS) or BEAT_SECONDS

    def ready(self) -> None:
        self._say("READY=1", b"r")

    def beat(self) -> None:
        self._say("WATCHDOG=1", b".")

    def reloading(self) -> None:
        if self._notifier is not None:
            self._notifier.reloading()

    def stopping(self) -> None:
        self._say("STOPPING=1", b"")

    def _say(self, line: str, letter: bytes) -> None:
        if self._notifier is not None:
            self._notifier.tell(line)
        elif letter:
            # A parent that is gone is seen by the end of the other pipe.
            with contextlib.suppress(OSError):
                os.write(self._pipe, letter)


def run_process(plan: Plan, server: Server, log: Logger, voice: _Voice, lifeline: int | None = None) -> int:
    """One process's loop from start to stop. `lifeline`: a descriptor that ends when the parent does."""
    with asyncio.Runner(loop_factory=_loop_factory(plan)) as runner:
        return runner.run(_serve(plan, server, log, voice, lifeline))


def _loop_factory(plan: Plan) -> Callable[[], asyncio.AbstractEventLoop]:
    if plan.loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


def _settle() -> None:
    """What is there now stays: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()


async def _serve(plan: Plan, server: Server, log: Logger, voice: _Voice, lifeline: int | None) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_reporter(log))
    orders: asyncio.Queue[int] = asyncio.Queue()
    for number in _SIGNALS:
        loop.add_signal_handler(number, orders.put_nowait, number)
    if lifeline is not None:
        loop.add_reader(lifeline, _orphaned, loop, lifeline, orders)
    await server.start()
    sys.setswitchinterval(SWITCH_SECONDS)
    _settle()
    # A message makes some hundreds of objects that soon go by themselves: no need to look after each.
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
    voice.ready()
    beating = loop.create_task(_beat(voice))
    try:
        while (order := await orders.get()) == signal.SIGHUP:
            voice.reloading()
            await server.reload()
            voice.ready()
        voice.stopping()
        log.info("stopping", signal=signal.Signals(order).name)
        await _stop(server, plan.grace, orders)
    finally:
        beating.cancel()
    return 0


async def _stop(server: Server, grace: float, orders: "asyncio.Queue[int]") -> None:
    """Drain; another order to stop makes it short."""
    draining = asyncio.create_task(server.stop(grace))
    impatient = asyncio.create_task(_impatience(orders))
    await asyncio.wait({draining, impatient}, return_when=asyncio.FIRST_COMPLETED)
    impatient.cancel()
    if not draining.done():
        draining.cancel()
        await asyncio.wait({draining})
        await server.stop(0)
    elif (error := draining.exception()) is not None:
        raise error


async def _impatience(orders: "asyncio.Queue[int]") -> None:
    while await orders.get() == signal.SIGHUP:
        pass


async def _beat(voice: _Voice) -> None:
    while True:
        voice.beat()
        await asyncio.sleep(voice.every)


def _orphaned(loop: asyncio.AbstractEventLoop, lifeline: int, orders: "asyncio.Queue[int]") -> None:
    loop.remove_reader(lifeline)
    orders.put_nowait(signal.SIGTERM)


def _reporter(log: Logger) -> Callable[[asyncio.AbstractEventLoop, dict[str, object]], None]:
    """What nobody caught becomes one record instead of a traceback on the terminal."""

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT):
            return  # a peer that left; its door knows
        log.error("unexpected", about=str(context.get("message")), exc_info=error)

    return report


@dataclass(slots=True)
class _Child:
    number: int
    pid: int
    pipe: int
    born: float
    heard: float
    ready: bool = False


class _Parent:
    """Keeps the children alive. No loop, no threads: it waits for signals and forks."""

    def __init__(
        self, plan: Plan, build: Build, bound: Mapping[str, list[socket]], notifier: Notifier, log: Logger
    ) -> None:
        self._plan = plan
        self._build = build
        self._bound = bound
        self._notifier = notifier
        self._log = log
        self._children: dict[int, _Child] = {}
        self._due: dict[int, float] = dict.fromkeys(range(plan.processes), 0.0)  # number → when to start it
        self._pauses: dict[int, float] = {}
        self._announced = False
        self._lifeline = os.pipe()

    def run(self) -> int:
        watched = {*_SIGNALS, signal.SIGCHLD}
        # The program is in memory once for all children: each page that a collector marks would be a copy of its own.
        _loop_factory(self._plan)
        _settle()
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        try:
            while True:
                self._start_due()
                info = signal.sigtimedwait(watched, 0.5)
                if info is not None and info.si_signo in (signal.SIGTERM, signal.SIGINT):
                    return self._stop()
                if info is not None and info.si_signo == signal.SIGHUP:
                    self._notifier.reloading()
                    self._signal(signal.SIGHUP)
                    self._notifier.tell("READY=1")
                self._listen()
                code = self._reap()
                if code is not None:
                    self._stop()
                    return code
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, watched)

    def _start_due(self) -> None:
        now = time.monotonic()
        for number, at in list(self._due.items()):
            if at <= now:
                del self._due[number]
                self._fork(number)

    def _fork(self, number: int) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            os.close(writing)
            now = time.monotonic()
            self._children[number] = _Child(number, pid, reading, now, now)
            return
        code = EXIT_FAILED
        try:
            # Ctrl-C goes to every process of the terminal's group. The parent hands it on; twice would be haste.
            os.setpgid(0, 0)
            for sibling in self._children.values():
                os.close(sibling.pipe)
            os.close(reading)
            os.close(self._lifeline[1])
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_SIGNALS, signal.SIGCHLD})
            server = self._build(self._bound, number)
            code = run_process(self._plan, server, self._log, _Voice(pipe=writing), self._lifeline[0])
        except BaseException as error:
            self._log.error("process failed", process=number, exc_info=error)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _listen(self) -> None:
        """Hear the children, and tell systemd when all are well."""
        now = time.monotonic()
        readable, _, _ = select.select([child.pipe for child in self._children.values()], [], [], 0)
        for child in self._children.values():
            if child.pipe in readable and (letters := os.read(child.pipe, 4096)):
                child.heard = now
                child.ready = child.ready or b"r" in letters
            elif child.ready and now - child.heard > SILENT_SECONDS:
                self._log.error("process is stuck and will be replaced", process=child.number, pid=child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.heard = now
        well = len(self._children) == self._plan.processes and all(c.ready for c in self._children.values())
        if well and not self._announced:
            self._announced = True
            self._notifier.tell("READY=1")
            self._log.info("serving", processes=self._plan.processes)
        if well and self._notifier.watchdog_seconds is not None:
            self._notifier.tell("WATCHDOG=1")

    def _reap(self) -> int | None:
        """Note who died and when to start him again; an exit code where the first start failed."""
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            del self._children[child.number]
            os.close(child.pipe)
            lived = time.monotonic() - child.born
            if not child.ready and not self._announced:
                return EXIT_FAILED  # it said why
            pause = 0.0 if lived > SHORTEST_LIFE else min(LONGEST_PAUSE, self._pauses.get(child.number, 0.25) * 2)
            self._pauses[child.number] = pause
            self._due[child.number] = time.monotonic() + pause
            self._log.error(
                "process died and will be started again",
                process=child.number, status=os.waitstatus_to_exitcode(status), after=round(pause, 2),
            )
        return None

    def _signal(self, number: int) -> None:
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)

    def _stop(self) -> int:
        self._notifier.tell("STOPPING=1")
        for listening in self._bound.values():
            for each in listening:
                each.close()
        self._signal(signal.SIGTERM)
        # A little longer than the children take by themselves.
        deadline = time.monotonic() + self._plan.grace + 10.0
        while self._children:
            info = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}, 0.2)
            if info is not None and info.si_signo != signal.SIGCHLD:
                # Not SIGTERM again: a child that has not come to the first would see the two as one.
                self._signal(signal.SIGINT)
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            for child in list(self._children.values()):
                if os.waitpid(child.pid, os.WNOHANG)[0]:
                    del self._children[child.number]
                    os.close(child.pipe)
        return 0
