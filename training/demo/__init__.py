"""The demonstration: a simulated shop on which the whole loop is shown within minutes, with nothing faked."""
