"""PulseX: the PostgreSQL 18 database of a daily-briefing app, and the tools that deploy, show and prove it."""
