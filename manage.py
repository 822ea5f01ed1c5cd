#!/usr/bin/env python
"""Django's command line for the studio: `manage.py studio`, `manage.py demo`, and one command per service."""

import os
import sys

from django.core.management import execute_from_command_line

from workers.watchdog import watch_studio

if __name__ == "__main__":
    watch_studio()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mistudio_site.settings")
    execute_from_command_line(sys.argv)
