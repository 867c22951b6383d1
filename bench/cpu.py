"""CPU time that processes took."""

from __future__ import annotations

import contextlib

import psutil


def tree_seconds(pid: int) -> float:
    """User and system CPU seconds of a process, all that it started, and all of these that have ended."""
    seconds = 0.0
    parent = psutil.Process(pid)
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds
