"""From a file of users to queued user events."""
