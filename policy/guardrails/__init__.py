"""The rules of the catalog that forbid an ask to a visitor now: one small file each, listed in ``registry``."""
