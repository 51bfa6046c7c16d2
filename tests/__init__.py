"""The suite: pgTAP's discipline, driven by pytest."""
