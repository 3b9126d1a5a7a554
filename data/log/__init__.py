"""The event log: reading it from files, writing it to files, and its rows as decisions and events."""

from data.log.items import frame_of, items_of
from data.log.mapping import LogMap, load_map
from data.log.reader import Log, read_log, unknown_asks
from data.log.writer import write_frames, write_log

__all__ = ["Log", "LogMap", "frame_of", "items_of", "load_map", "read_log", "unknown_asks", "write_frames", "write_log"]
