"""Lifecycle events in the caller's transaction: `track_event(db, event_type, payload)`, `track_events` for several."""

from producer.tracking import EventId, InvalidEvent, track_event, track_events

__all__ = ["EventId", "InvalidEvent", "track_event", "track_events"]
