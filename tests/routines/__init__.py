"""Every routine is called, and every promise of its comment held to."""
