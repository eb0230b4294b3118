"""A folder whose entries have to outlast a power cut."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Returns when the names in it are durable: a file's own fsync does not see to that. Blocks. OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
