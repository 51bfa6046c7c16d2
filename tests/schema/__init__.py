"""Rules over the catalogue, each with the proof that it can fire."""
