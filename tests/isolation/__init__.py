"""Nobody sees another person's row: the matrix, the attacks, and the mutants that prove both would notice."""
