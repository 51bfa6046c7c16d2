"""The audit log: what is in it, that it can't be changed, and that whoever changes it is found out."""
