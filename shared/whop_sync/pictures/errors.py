"""Why there is no picture."""

from whop_sync.errors import Permanent, Transient


class PictureRefused(Permanent):
    """The picture cannot be fetched, now or later: wrong kind of address, too large, not an image."""


class PictureUnavailable(Transient):
    """The picture's host does not deliver at the moment. After an hour of it the picture counts as refused."""
