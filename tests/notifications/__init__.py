"""Notifications: nothing is lost and nothing is sent twice, whoever dies, whatever is late, and whoever changes their mind."""
