"""What the officer hands out: an export as a page, and the record of processing as a page and as CSV.

The pages need nothing beside them, and run nothing: no script, no font, no image. Whatever people wrote is escaped.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDEST = 6  # columns of a table that still fits a sheet of paper
TIME = re.compile(r"(\d{4,}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")
UNITS = {"Y": "year", "M": "month", "W": "week", "D": "day"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")

_environment = Environment(
    loader=PackageLoader("pulsex"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def readable(time: str) -> str:
    """Return an ISO 8601 time in UTC, of an export, as people write it, to the second."""
    return TIME.sub(r"\1 \2", time)


def period(duration: str) -> str:
    """Return an ISO 8601 duration of years, months, weeks and days in words; any other as it is."""
    parts = re.findall(r"(\d+)([YMWD])", duration)
    if "P" + "".join(map("".join, parts)) != duration:
        return duration
    return " ".join(f"{number} {UNITS[unit]}{'' if number == '1' else 's'}" for number, unit in parts)


_environment.filters |= {"readable": readable, "period": period}
_environment.tests["time"] = lambda value: isinstance(value, str) and TIME.fullmatch(value) is not None


def export(document: Mapping[str, object], name: str) -> str:
    """Return the page of what ``gdpr.export_user_data`` returned about the person called ``name``."""
    categories = [{**category, "kinds": _kinds(category["records"])} for category in document["categories"]]
    return _environment.get_template("export.html").render(document=document, name=name, categories=categories)


def records(rows: Sequence[Mapping[str, object]], settings: Mapping[str, str | None]) -> str:
    """Return the page of the rows of ``gdpr.records_of_processing``, with who the controller is from the settings."""
    return _environment.get_template("records.html").render(rows=rows, settings=settings)


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as CSV (RFC 4180) with a header; no cell is taken for a formula by a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows[0] if rows else [])
    writer.writerows([neutral(cell) for cell in row.values()] for row in rows)
    return text.getvalue()


def neutral(cell: object) -> object:
    """Return a cell that a spreadsheet shows and doesn't compute (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _kinds(found: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Group records by what they are; those of few, simple values make a table, the others a list each."""
    kinds: dict[str, list[dict[str, object]]] = {}
    for record in found:
        kinds.setdefault(str(record["record"]), []).append({k: v for k, v in record.items() if k != "record"})
    return [
        {"name": name, "records": group, "keys": list(group[0]), "is_table": _is_table(group)}
        for name, group in kinds.items()
    ]


def _is_table(group: Sequence[Mapping[str, object]]) -> bool:
    return len(group) > 1 and all(
        len(record) <= WIDEST and not any(isinstance(value, dict | list) for value in record.values())
        for record in group
    )
