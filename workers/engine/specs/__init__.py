"""Specs: what the researcher asks for, as frozen dataclasses. Standard library only; shared by web side and engine."""
