"""Repository ids of the Hugging Face Hub, also from the pasted address of a repository's page."""

import re

from workers.engine.specs.errors import SpecInvalid

ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<path>[^?#]*)")
PAGES = frozenset({"tree", "viewer", "blob", "resolve", "discussions", "commits"})
"""Words in an address behind the id: what follows names a place inside the repository."""
ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?")


class BadRepository(SpecInvalid):
    """What was given is neither an id nor the address of a repository's page."""

    code = "bad_repository"


def hub_id(text: str) -> str:
    """ "owner/name", or "name" for a repository without owner; BadRepository when `text` holds no id."""
    address = ADDRESS.match(text.strip())
    path = address["path"] if address else text.strip()
    parts = path.rstrip("/").removeprefix("datasets/").removeprefix("models/").split("/")
    if address:
        parts = parts[: next((place for place, part in enumerate(parts) if place and part in PAGES), None)]
    wanted = "/".join(parts)
    if not ID.fullmatch(wanted) or ".." in wanted:
        raise BadRepository(
            f"{text!r} is no repository of the Hugging Face Hub.",
            "Give an id such as owner/name, or the address of its page.",
            field="repo_id",
        )
    return wanted
