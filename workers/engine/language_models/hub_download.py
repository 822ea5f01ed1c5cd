"""A language model from the Hugging Face Hub: configuration, tokenizer and safetensors files, nothing else.

huggingface_hub reads the access token from the environment (HF_TOKEN) by itself. Files arrive in a folder that outlives
the attempt, so a retry goes on where the last one ended.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
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
from tqdm.auto import tqdm

from workers.engine.disk import disk_require
from workers.engine.language_models.model_files import decoder_only_check, files_check, files_kept
from workers.engine.progress import Progress
from workers.engine.specs.errors import EngineError, Transient

PAGE_ADDRESS = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/")
PAGES = ("tree", "blob", "resolve", "discussions", "commits")
BUSY_STATUSES = (408, 429)


@dataclass(frozen=True)
class HubModel:
    """What the Hub says of a model before any weight is downloaded."""

    repo_id: str
    revision: str
    licence: str
    sizes: dict[str, int]
    """Bytes of each file that is kept."""


def repo_id_of(text: str) -> str:
    """ "owner/name" from an id, or from the pasted address of one of the model's pages."""
    path = PAGE_ADDRESS.sub("", text.strip()).split("?")[0].split("#")[0]
    parts = [part for part in path.removeprefix("models/").split("/") if part]
    ends = [number for number, part in enumerate(parts) if number and part in PAGES]
    return "/".join(parts[: ends[0]] if ends else parts)


def hub_download(repo_id: str, revision: str, target: str | Path, keep_dir: str | Path, progress: Progress) -> HubModel:
    """Download the model's files into `target`, by way of `keep_dir`. Progress counts bytes.

    Architecture and disk space are checked before any weight is asked for. Raises EngineError with the codes of
    `hub_errors`, `files_check` and `decoder_only_check`.
    """
    repo_id, keep_dir = repo_id_of(repo_id), Path(keep_dir)
    progress.phase("Asking the Hub")
    with hub_errors(repo_id):
        model = hub_model(repo_id, revision)
        arrived = {"repo_id": repo_id, "revision": model.revision, "local_dir": keep_dir}
        snapshot_download(**arrived, allow_patterns="config.json")
        decoder_only_check(keep_dir)
        disk_require(keep_dir, sum(model.sizes.values()))
        progress.phase("Downloading", sum(model.sizes.values()), "bytes")
        snapshot_download(**arrived, allow_patterns=list(model.sizes), tqdm_class=_bar_class(progress))
    for name in model.sizes:
        shutil.move(keep_dir / name, Path(target) / name)
    shutil.rmtree(keep_dir)
    return model


def hub_model(repo_id: str, revision: str) -> HubModel:
    """Ask the Hub for commit, licence and file sizes; whether the repository may be read shows here first."""
    found = HfApi().model_info(repo_id, revision=revision or None, files_metadata=True)
    names = [file.rfilename for file in found.siblings or []]
    files_check(names, repo_id)
    kept = set(files_kept(names))
    licence = (found.card_data.get("license") if found.card_data else None) or ""
    return HubModel(
        repo_id=repo_id,
        revision=found.sha or revision,
        licence=", ".join(licence) if isinstance(licence, list) else str(licence),
        sizes={file.rfilename: file.size or 0 for file in found.siblings or [] if file.rfilename in kept},
    )


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into words. Only what may work in a moment is transient."""
    try:
        yield
    except GatedRepoError as error:
        raise EngineError(
            f"{repo_id} is gated: its owners ask you to accept their terms.",
            f"Accept them on https://huggingface.co/{repo_id}, and store an access token of your account in the settings.",
            code="gated",
        ) from error
    except RevisionNotFoundError as error:
        raise EngineError(
            f"{repo_id} has no such branch, tag or commit.", "Leave the revision empty.", code="unknown_revision"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise EngineError(
            f"There is no model {repo_id!r} on the Hub, or it is private.",
            "Check the id (owner/name); for a private one store an access token in the settings.",
            code="unknown_repository",
        ) from error
    except OfflineModeIsEnabled as error:
        raise EngineError(
            "The Hub cannot be reached: offline mode is on.",
            "Unset HF_HUB_OFFLINE, or import a folder or a GGUF file.",
            code="offline",
        ) from error
    except HfHubHTTPError as error:
        raise _refused(repo_id, error) from error
    except (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
        raise Transient(
            "The Hub cannot be reached.", "Check the network; what has arrived is kept and the job is tried again."
        ) from error


def _refused(repo_id: str, error: HfHubHTTPError) -> EngineError:
    status = error.response.status_code if error.response is not None else None
    if status in (401, 403):
        return EngineError(
            f"The Hub does not let you read {repo_id} ({status}).",
            "Store an access token in the settings that may read it; for a gated model accept its terms first.",
            code="gated",
        )
    is_busy = status is None or status in BUSY_STATUSES or status >= 500
    return EngineError(
        f"The Hub answered {status} for {repo_id}.",
        "It is busy; the job is tried again." if is_busy else "Check the repository's page.",
        code="hub_refused",
        transient=is_busy,
    )


def _bar_class(progress: Progress) -> type[tqdm]:
    """A progress bar that draws nothing and passes bytes on; huggingface_hub also opens one that counts files."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.counts_bytes = kwargs.get("unit") == "B"
            kwargs["disable"] = False
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs)

        def display(self, *args: Any, **kwargs: Any) -> None:
            """Nothing is drawn."""

        def update(self, n: float | None = 1) -> bool | None:
            if self.counts_bytes and n:
                progress.advance(int(n))
            return super().update(n)

    return Bar
