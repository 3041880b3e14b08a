"""Lifecycle events in the caller's transaction: `track_event(db, event_type, payload)`, or `track_events` for many."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.tracking import EventId, InvalidEvent, track_event, track_events
else:

    def __getattr__(name: str) -> Any:
        # Names are imported on first use: `python -m producer --help` imports this package too, and needs no
        # SQLAlchemy.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("producer.tracking"), name)


__all__ = ["EventId", "InvalidEvent", "track_event", "track_events"]
