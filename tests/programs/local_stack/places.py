"""Where the parts of a local stack listen."""

from dataclasses import dataclass

from local_stack.processes import LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """An address and a port for each part. Port 0 means any free one."""

    host: str = LOOPBACK
    engine: int = 0
    whop: int = 0
    uploads: int = 0
    pictures: int = 0
    announcements: int = 0

    @property
    def uses(self) -> dict[int, str]:
        """What each port is for, in a person's words."""
        return {
            self.engine: "the local AWS",
            self.whop: "Whop",
            self.uploads: "uploads",
            self.pictures: "pictures",
            self.announcements: "announcements",
        }


ENGINE_PORT = 4566


def agreed(host: str = LOOPBACK, port: int = ENGINE_PORT) -> Places:
    """The ports of `make up`: the local AWS on `port`; the others beside it, if that is not the usual one."""
    first = 4680 if port == ENGINE_PORT else port + 1
    return Places(host=host, engine=port, whop=first, uploads=first + 1, pictures=first + 2, announcements=first + 3)
