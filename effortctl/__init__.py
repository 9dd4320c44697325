"""Spend LLM reasoning where it pays."""

__version__ = "0.1.0"
