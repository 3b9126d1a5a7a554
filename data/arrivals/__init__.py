"""A log in the order in which the system learned of it: duplicates removed, answers joined, visitors merged."""

from data.arrivals.arrange import Arrivals, arrange
from data.arrivals.histories import History, Moment, histories

__all__ = ["Arrivals", "History", "Moment", "arrange", "histories"]
