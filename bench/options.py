"""What a run was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How much to measure: ``scale`` multiplies the people of ``concurrency``, ``large`` adds a size to ``growth``.

    ``quick`` is a smoke test: every part in some seconds, and what comes out is no measurement and written nowhere.
    """

    scale: float = 1
    large: bool = False
    quick: bool = False

    def size(self, full: int, quick: int) -> int:
        """Return how many: ``full``, or ``quick`` in a smoke test."""
        return quick if self.quick else full
