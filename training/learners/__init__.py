"""Learners: from the steps of a log to what an ask is worth now."""
