"""What the advertised queries may cost, as the application's role, with data to look through."""
