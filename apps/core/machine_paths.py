"""Texts for pages, JSON and exports name no place on the studio's machine: who reads them may be anybody."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings


def paths_hidden(text: str, *, given: Iterable[str] = ()) -> str:
    """`text` with the machine's folders under their names: DATA_DIR/models/3, miStudio/workers/child.py. Paths that a
    person gave, the `given` ones, become the file's or folder's own name."""
    names = {path: Path(path).name for path in given}
    names |= {str(Path.home()): "~", sys.base_prefix: "python", sys.prefix: "python"}
    names |= {str(settings.BASE_DIR): "miStudio", str(settings.DATA_DIR): "DATA_DIR"}
    known = sorted((path for path, name in names.items() if name and path.startswith("/") and len(path) > 1), key=len)
    if not known:
        return text
    pattern = rf"(?<![\w./~-])({'|'.join(re.escape(path) for path in reversed(known))})(?![\w-]|\.\w)"
    return re.sub(pattern, lambda found: names[found[1]], text)
