"""What a part found, written where people see it: as JSON, as plots, and between its markers in the guide."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from bench import report
from bench.options import Options
from bench.record import Cell, Item, Measured, Note, Plot, Record, Rows, Target
from pulsex.deploy import ROOT

RESULTS = ROOT / "bench" / "results"
GUIDE = ROOT / "db" / "performance_recommendations.md"
KINDS: dict[type[Item], str] = {Measured: "tables", Rows: "rows", Target: "targets", Note: "notes", Plot: "plots"}
DIGITS = 6  # significant, in JSON


@dataclass(frozen=True)
class Result:
    """What a part found, when, on which machine, and what it was asked for."""

    part: str
    measured_at: datetime
    machine: dict[str, Cell]
    options: Options
    record: Record

    def write(self, results: Path = RESULTS, guide: Path = GUIDE) -> None:
        """Write the JSON file, the plots and the part's place in the guide, all anew."""
        results.mkdir(exist_ok=True)
        (results / f"{self.part}.json").write_text(self.as_json())
        for old in results.glob(f"{self.part}-*.svg"):
            old.unlink()
        if plots := self.record.of(Plot):
            from bench import drawing  # here, so that whoever draws nothing needs no matplotlib

            for plot in plots:
                drawing.draw(plot, results / self._svg(plot))
        text = self.as_markdown(os.path.relpath(results, guide.parent))
        guide.write_text(rewritten(guide.read_text(), self.part, text))

    def as_json(self) -> str:
        """Return everything, with all values."""
        document = {
            "part": self.part,
            "measured_at": self.measured_at.isoformat(timespec="seconds"),
            "machine": self.machine,
            "options": asdict(self.options),
            "settings": self.record.settings,
            **{name: [asdict(item) for item in self.record.of(kind)] for kind, name in KINDS.items()},
        }
        return json.dumps(_rounded(document), indent=1, ensure_ascii=False) + "\n"

    def as_markdown(self, where: str) -> str:
        """Return what stands in the guide; ``where`` is the way from there to the results."""
        text = self._provenance(where)
        before = ""
        for item in self.record.items:
            block = self._block(item, where)
            text += ("\n" if block.startswith("- ") and before.startswith("- ") else "\n\n") + block
            before = block
        return text

    def _provenance(self, where: str) -> str:
        machine = self.machine
        programs = f"PostgreSQL {machine['postgresql']}"
        if machine["pgbouncer"]:
            programs += f", PgBouncer {machine['pgbouncer']}"
        return (
            f"Measured {self.measured_at:%Y-%m-%d %H:%M} UTC at commit {machine['commit']}: {machine['processor']},"
            f" {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; {programs};"
            f" `--scale {self.options.scale:g}`. All values: [{self.part}.json]({where}/{self.part}.json)."
        )

    def _svg(self, plot: Plot) -> str:
        return f"{self.part}-{plot.name}.svg"

    def _block(self, item: Item, where: str) -> str:
        match item:
            case Measured(title, unit):
                return _markdown_table(f"{title} ({unit})", ("", "median", "least", "most"), report.summary(item))
            case Rows(title, header, rows):
                return _markdown_table(title, header, rows)
            case Target(claim, met):
                return f"- {'met' if met else '**missed**'}: {claim}"
            case Note(text):
                return f"- {text.strip()}"
            case Plot(_, title):
                return f"![{title}]({where}/{self._svg(item)})"


def rewritten(guide: str, part: str, text: str) -> str:
    """Return the guide with ``text`` between the part's markers, which have to be there once.

    Raises ValueError when they aren't.
    """
    begin, end = f"<!-- bench:{part} -->", f"<!-- /bench:{part} -->"
    if guide.count(begin) != 1 or guide.count(end) != 1 or guide.index(begin) > guide.index(end):
        raise ValueError(f"the guide needs {begin} and {end}, once each and in this order")
    before, rest = guide.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{text}\n{end}{after}"


def _markdown_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(map(_cell, line))} |" for line in lines)])


def _cell(cell: Cell) -> str:
    return report.shown(cell).replace("|", r"\|")


def _rounded(value: object) -> object:
    """Round every float in a document to so many significant digits."""
    match value:
        case float():
            return float(f"{value:.{DIGITS}g}")
        case dict():
            return {key: _rounded(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_rounded(entry) for entry in value]
    return value
