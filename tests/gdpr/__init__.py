"""What the law asks of the database."""
