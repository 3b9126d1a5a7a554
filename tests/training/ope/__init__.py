"""Tests of the off-policy estimators."""
