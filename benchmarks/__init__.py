"""Measurements: each file is run by hand and prints its figures beside their limits."""
