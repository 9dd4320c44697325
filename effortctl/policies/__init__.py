"""Which arm next, or stop?"""
