"""Rows, their units and the names of their columns."""
