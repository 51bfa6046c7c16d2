"""Partitions: where rows go, what queries touch, how partitions come and go, also while everybody is at work."""
