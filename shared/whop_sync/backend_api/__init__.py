"""The HTTP API for the platform's own backend: look-ups, enrolling, chat tokens, and links and tokens for payouts."""
