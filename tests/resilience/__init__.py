"""It survives: crashes, full disks, too many clients, hostile input, races, standbys, backups, upgrades."""

import pytest

# What they assert is shown in full, as in a test.
pytest.register_assert_rewrite("tests.resilience.aftermath", "tests.resilience.durable", "tests.resilience.crowd")
