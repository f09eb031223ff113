"""How long a download waits, and how often it tries again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """Seconds, all of them.

    Attributes:
        connect_seconds: for a server to accept the connection.
        read_seconds: for the next bytes; after that the connection has stalled.
        pauses: before each further attempt, counted from the last one that brought something; after that it is over.
        longest_pause: that a server may ask for (``Retry-After``).
    """

    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    pauses: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    longest_pause: float = 60.0


USUAL_PATIENCE = Patience()
