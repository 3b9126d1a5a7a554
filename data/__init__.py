"""What happened: domain types, catalogs, logs, episodes, stores, the simulator."""
