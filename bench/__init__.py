"""Benchmarks: every comparison alternates its sides within one run and reports medians and ratios."""
