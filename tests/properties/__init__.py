"""Properties, with Hypothesis: whatever people do, in whatever order, the database agrees with a model in Python."""
