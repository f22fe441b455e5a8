"""Whether a browser can be opened in front of the person who ran a command."""

from collections.abc import Mapping


def has_desktop(environment: Mapping[str, str], platform: str) -> bool:
    """False in CI, over SSH and without a display, where a browser would open before no one or inside the terminal."""
    if environment.get("CI") or environment.get("SSH_CONNECTION"):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
