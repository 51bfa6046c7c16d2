"""What tests count is added up for the end of the run."""

from types import SimpleNamespace

import conftest


def report(when, **counted):
    """A test's report, as xdist hands it on."""
    return SimpleNamespace(when=when, user_properties=[("load", "much"), (conftest.FIGURES, counted)])


def test_what_tests_counted_is_added_up_by_name():
    """Two tests, one of which is reported again for its call: each counts once."""
    reports = [report("call", crashes=3), report("teardown", crashes=3), report("teardown", crashes=4, rows=10)]
    assert conftest.total_figures(reports) == {"crashes": 7, "rows": 10}
