"""Who tests the tests: one change at a time to the deployed database, and the tests that should notice it."""
