"""The machine that the figures belong to."""

import os
import platform
import subprocess
from pathlib import Path


def describe(folder: Path) -> dict[str, str | int]:
    """What has to be said beside every figure; `folder` is where the servers keep their data."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_mb": int(memory.split()[1]) // 1024,
        "kernel": platform.release(),
        "system": _system(),
        "disk": _file_system(folder),
        "python": platform.python_version(),
        "postfix": _first_line("postconf", "-d", "-h", "mail_version"),
        "dovecot": _first_line("dovecot", "--version"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _file_system(folder: Path) -> str:
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split()
        if str(folder.resolve()).startswith(mounted) and len(mounted) >= len(best[0]):
            best = (mounted, kind)
    return best[1]


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "not installed"
    return (done.stdout.strip().splitlines() or ["?"])[0]
