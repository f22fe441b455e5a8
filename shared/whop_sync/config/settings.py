"""Single settings, as more than one function reads them."""

import os


def setting(name: str) -> str:
    """Raises ValueError with a sentence that names the setting."""
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set: the functions expect the environment that template.yaml gives them")
    return value


def user_mappings_table() -> str:
    return setting("USER_MAPPINGS_TABLE")


def user_created_queue_url() -> str:
    return setting("USER_CREATED_QUEUE_URL")


def is_local() -> bool:
    """Whether a local engine stands in for AWS."""
    return bool(os.environ.get("AWS_ENDPOINT_URL"))
