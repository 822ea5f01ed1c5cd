"""`manage.py language_parser_install`: brings spaCy's small English pipeline, which language analysis needs."""

import subprocess
import sys
from typing import Any

from apps.core.commands import StudioCommand
from apps.core.errors import AppError
from workers.engine.specs.feature_language import PIPELINE_PACKAGE


class Command(StudioCommand):
    help = "Install spaCy's small English pipeline into the studio's environment, with pip."

    def work(self, **options: Any) -> None:
        done = subprocess.run([sys.executable, "-m", "pip", "install", PIPELINE_PACKAGE], check=False)
        if done.returncode:
            raise AppError(
                "install_failed",
                f"pip could not install {PIPELINE_PACKAGE}; it says why above.",
                "Check the network and the index that pip uses, or bring the package's file here and install that.",
            )
        self.stdout.write("Installed. Start the language analysis again.")
