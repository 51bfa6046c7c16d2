"""Flaws to plant, so that a test shows that it would notice them."""

from __future__ import annotations


def edited(function: str, old: str, new: str) -> str:
    """Return a statement that replaces something in a function, and fails where it isn't there."""
    return f"""DO $do$
        DECLARE v_definition text := pg_get_functiondef('{function}'::regproc);
        BEGIN
            ASSERT strpos(v_definition, $${old}$$) > 0;
            EXECUTE replace(v_definition, $${old}$$, $${new}$$);
        END$do$"""
