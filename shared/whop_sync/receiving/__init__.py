"""From a delivery's bytes and headers to a queued user event."""
