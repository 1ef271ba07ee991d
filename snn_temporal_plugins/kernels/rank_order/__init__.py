"""Errors of the rank-order loss."""
