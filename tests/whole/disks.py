"""Disks to break: an ext4 on a loop device whose power can be cut, a tmpfs that is small. Both need root."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D
# What still reaches the disk when the power goes: everything, the journal only, or nothing.
FLUSHED, LOGFLUSH, NOLOGFLUSH = 0, 1, 2


def _command(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


class Disk:
    """An ext4 in a file, mounted at `path`."""

    def __init__(self, path: Path, octets: int) -> None:
        """Skips the test where this machine cannot mount one."""
        self.path = path
        self._image = path.with_name(f"{path.name}.img")
        path.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(octets)
        try:
            made = _command("mkfs.ext4", "-q", self._image)
        except FileNotFoundError:
            pytest.skip("POWER CUTS ARE NOT TESTED: there is no mkfs.ext4, from e2fsprogs")
        assert made.returncode == 0, made.stderr
        mounted = self._mount()
        if mounted.returncode:
            pytest.skip(f"POWER CUTS ARE NOT TESTED: no loop mounts here: {mounted.stderr.strip()}")

    def _mount(self) -> "subprocess.CompletedProcess[str]":
        return _command("mount", "-o", "loop", self._image, self.path)

    def cut(self, flushed: int) -> None:
        """The power goes: from now on nothing is written, nor read that is not in memory.

        While it goes, ext4 lies: the fdatasync of a growing file may return 0 although the new size never reached the
        disk, since the journal that was to hold it is taken away between the two (seen with Linux 6.18 in one of
        ten cuts, by a program of files and fdatasync alone). So what is promised during the cut proves nothing.
        """
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", flushed))
        finally:
            os.close(folder)

    def restore(self) -> None:
        """The power is back: what the disk holds, after its journal was replayed. Nobody may use the old one."""
        gone = _command("umount", self.path)
        assert gone.returncode == 0, gone.stderr
        mounted = self._mount()
        assert mounted.returncode == 0, mounted.stderr


@contextmanager
def ext4(path: Path, octets: int = 128 * 2**20) -> Iterator[Disk]:
    """A disk for the time of the `with`."""
    disk = Disk(path, octets)
    try:
        yield disk
    finally:
        _command("umount", "-l", path)


@contextmanager
def tmpfs(path: Path, octets: int) -> Iterator[Path]:
    """A small disk in memory for the time of the `with`."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = _command("mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", path)
    if mounted.returncode:
        pytest.skip(f"FULL DISKS ARE NOT TESTED: no tmpfs can be mounted here: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        _command("umount", "-l", path)
