"""What a part found, as it is kept: everything that it printed, with all values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None


@dataclass(frozen=True)
class Measured:
    """The measurements of some sides, all of them, in a unit; ``scale`` makes the unit of what was measured."""

    title: str
    unit: str
    scale: float
    taken: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Rows:
    """A table of whatever it is."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Target:
    """What was to hold, with its figure, and whether it does."""

    claim: str
    met: bool


@dataclass(frozen=True)
class Note:
    """A line that was said."""

    text: str


@dataclass(frozen=True)
class Axis:
    """What an axis shows, and whether its scale is logarithmic."""

    label: str
    log: bool


@dataclass(frozen=True)
class Plot:
    """Points of some series."""

    name: str
    title: str
    x: Axis
    y: Axis
    series: Mapping[str, Sequence[tuple[float, float]]]


Item = Measured | Rows | Target | Note | Plot


@dataclass
class Record:
    """What a part found, in the order in which it said so, and the settings of the server it ran on."""

    items: list[Item] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def of(self, kind: type[Item]) -> list[Item]:
        """Return the items of a kind."""
        return [item for item in self.items if isinstance(item, kind)]
