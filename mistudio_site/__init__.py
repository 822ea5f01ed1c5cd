"""Wiring of the studio: settings, URLs and the ASGI application. No logic lives here."""

__version__ = "0.1.0"
