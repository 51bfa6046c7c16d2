"""Through PgBouncer: what one client leaves on a server connection is nothing to the next."""
