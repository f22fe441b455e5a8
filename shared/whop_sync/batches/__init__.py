"""From a batch of queued messages to what becomes of each: done, back to the queue, or parked."""
