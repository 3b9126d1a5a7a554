"""The HTTP service: routes, the front door, batching; decisions themselves are made in ``policy``."""
