"""Who is due: every zone's clocks, a scheduler that lives by them, and people who change their minds."""
