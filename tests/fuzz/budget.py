"""How long is fuzzed: a bounded part that is always the same, or what `make fuzz` asks for."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("GRADBOOK_FUZZ", "0"))
"""How many times as much as usual is drawn, at random; 0 is the bounded part."""

SEED = int(os.environ.get("GRADBOOK_FUZZ_SEED", "1"))
"""What the rows are drawn from, and what is not drawn by Hypothesis."""

BEHIND_SERVERS = ["sqlite", "postgresql"] if FACTOR else ["sqlite"]
"""The databases of real servers: in the bounded part one, since the fuzzers without a server compare both."""


def examples(usual: int) -> Any:
    """Settings for a test that draws so many examples in the bounded part."""
    return settings(
        max_examples=usual * max(1, FACTOR),
        derandomize=not FACTOR,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
