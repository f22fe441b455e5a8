"""What a person can put right; each message says how."""


class UsageError(Exception):
    """What was asked for cannot be done; the message says what to say or set instead."""
