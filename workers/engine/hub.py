"""The Hugging Face Hub as both importers see it: its errors in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from workers.engine.specs.errors import EngineError, Transient

BUSY_STATUSES = (408, 429)


@contextmanager
def hub_errors(repo_id: str, what: str) -> Iterator[None]:
    """Turn what huggingface_hub raises about a dataset or a model (`what`) into words; network trouble is transient."""
    try:
        yield
    except GatedRepoError as error:
        raise EngineError(
            f"{repo_id} is gated: its owners ask you to accept their terms.",
            "Accept them on the repository's page and store an access token in the settings.",
            code="gated",
        ) from error
    except RevisionNotFoundError as error:
        raise EngineError(
            f"{repo_id} has no such revision.",
            "Give a branch, tag or commit of it, or leave it empty.",
            code="unknown_revision",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise unknown_repository(repo_id, what) from error
    except OfflineModeIsEnabled as error:
        raise EngineError(
            "The Hub cannot be reached: offline mode is on.", "Unset HF_HUB_OFFLINE, or import a file.", code="offline"
        ) from error
    except HfHubHTTPError as error:
        raise _refused(repo_id, error) from error
    except (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise Transient(
            "The Hub cannot be reached.", "Check the network; what has arrived is kept and the job is tried again."
        ) from error


def _refused(repo_id: str, error: HfHubHTTPError) -> EngineError:
    """An HTTP status as a sentence; only what may work in a moment is transient."""
    status = error.response.status_code if error.response is not None else None
    if status in (401, 403):
        return EngineError(
            f"The Hub does not let you read {repo_id} ({status}).",
            "Store an access token in the settings that may read it; for a gated one accept its terms first.",
            code="gated",
        )
    is_busy = status is None or status in BUSY_STATUSES or status >= 500
    return EngineError(
        f"The Hub answered {status} for {repo_id}.",
        "It is busy; the job is tried again." if is_busy else "Check the repository's page.",
        code="hub_refused",
        transient=is_busy,
    )


def unknown_repository(repo_id: str, what: str) -> EngineError:
    """The refusal of an id that the Hub does not know."""
    return EngineError(
        f"There is no {what} {repo_id!r} on the Hub, or it is private.",
        "Check the id (owner/name); for a private one store an access token in the settings.",
        code="unknown_repository",
    )
