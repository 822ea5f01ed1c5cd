"""What readers put up with on the way through the rows, for the job's log."""


class Notices:
    """What a reader put up with: counted, with the place where it was met first."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, place: str) -> None:
        """One more of `what`, a plural noun with what was done about it."""
        count, first = self._found.get(what, (0, place))
        self._found[what] = (count + 1, first)

    def sentences(self) -> list[str]:
        """One for each kind, in order of appearance."""
        return [f"{what}: {count:,} (the first: {place})." for what, (count, place) in self._found.items()]
