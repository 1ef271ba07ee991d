"""Scaled sums of image windows."""
