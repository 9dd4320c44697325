"""Make one call, once."""
