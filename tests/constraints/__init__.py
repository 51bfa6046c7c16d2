"""Every constraint is broken by name."""
