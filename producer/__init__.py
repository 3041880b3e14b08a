"""Lifecycle events in the caller's transaction: `track_event(db, event_type, payload)`."""

from producer.tracking import EventId, InvalidEvent, track_event

__all__ = ["EventId", "InvalidEvent", "track_event"]
