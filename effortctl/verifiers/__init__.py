"""Is this answer good enough?"""
