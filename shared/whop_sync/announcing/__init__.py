"""From a queued announcement to the platform: a signed webhook to its backend, or an event on an EventBridge bus."""
