"""Quality per dollar, measured."""
