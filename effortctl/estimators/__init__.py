"""Difficulty in, P(correct) and dollars per arm out."""
