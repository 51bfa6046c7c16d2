"""What the law asks of the database: the data map, export, erasure, holds, resurrection."""
