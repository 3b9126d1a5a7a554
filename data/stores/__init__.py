"""Stores: where visitors' state, decisions and events are kept. ``protocol.Store`` says what one must do."""
