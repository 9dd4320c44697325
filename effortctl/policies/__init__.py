"""Which arm next, or stop?"""

from effortctl.policies._fixed import Fixed, LadderPolicy

__all__ = ["Fixed", "LadderPolicy"]
