"""Notifications: nothing is lost and nothing sent twice, whoever dies, is late, or has had enough of them."""
