"""What Transformers warns of while it reads a tokenizer or weights, as events of the job instead of lines in a log.

A wrong splitting pattern or a class that does not fit changes every number behind it. What concerns a single call (a long
text, a sampling flag) is not passed on.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from workers.engine.progress import Progress

LIBRARY = logging.getLogger("transformers")
ABOUT_FILES = (
    "tokenization",
    "models.auto.tokenization",
    "convert_slow_tokenizer",
    "modeling",
    "core_model_loading",
    "configuration",
)
"""Beginnings of the modules, below the library, that read tokenizers, weights and configurations."""
OF_ONE_CALL = ("Token indices sequence length", "LOAD REPORT")
"""Documents are cut anyway; unused weights are named once, by the import, in a sentence."""
MOST_CHARACTERS = 600
_listening: list[Progress] = []
"""Whose events they become; an engine function inside a child's job is heard once."""


class _ToEvents(logging.Handler):
    """Tells each text once."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress, self._told = progress, set()

    def emit(self, record: logging.LogRecord) -> None:
        module, text = record.name.removeprefix(f"{LIBRARY.name}."), " ".join(record.getMessage().split())
        is_known = text in self._told or any(words in text for words in OF_ONE_CALL)
        if module.startswith(ABOUT_FILES) and not is_known:
            self._told.add(text)
            self._progress.event(f"Transformers: {text[:MOST_CHARACTERS]}", level="warning")


@contextmanager
def library_warnings(progress: Progress) -> Iterator[None]:
    """While this is open, warnings about files become warning events."""
    if _listening:
        yield
        return
    handler = _ToEvents(progress)
    loudness = LIBRARY.level
    LIBRARY.setLevel(logging.WARNING)  # whatever a library or TRANSFORMERS_VERBOSITY asked for
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith(LIBRARY.name) and isinstance(logger, logging.Logger):
            logger.disabled = False  # as a configuration of logging leaves all that it does not name
    LIBRARY.addHandler(handler)
    _listening.append(progress)
    try:
        yield
    finally:
        _listening.clear()
        LIBRARY.removeHandler(handler)
        LIBRARY.setLevel(loudness)
