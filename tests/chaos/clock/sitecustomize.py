"""A clock that jumps, for a server under test: its time is the machine's and as many seconds as a file says.

Python imports this by itself where this folder is on PYTHONPATH.
"""

import os
import time

_FILE = os.environ.get("JUMPING_CLOCK", "")
_LOOK_SECONDS = 0.005

if _FILE:
    _time, _time_ns = time.time, time.time_ns
    _offset, _looked = 0, float("-inf")

    def _now_offset() -> int:
        global _offset, _looked
        now = time.monotonic()
        if now - _looked > _LOOK_SECONDS:
            _looked = now
            with open(_FILE, encoding="ascii") as file:
                _offset = int(file.read() or 0)
        return _offset

    time.time = lambda: _time() + _now_offset()
    time.time_ns = lambda: _time_ns() + _now_offset() * 1_000_000_000
