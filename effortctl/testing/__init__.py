"""Fakes and servers for tests, yours and ours."""
