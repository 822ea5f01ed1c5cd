"""The hook sites that a training on text captures together: those its SAEs read, and those transcoders answer."""

from dataclasses import dataclass
from typing import Any, Self

from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec


@dataclass(frozen=True)
class CapturedSites:
    """The hook sites of a training: `reads` for its SAEs, and what transcoders answer, in one forward pass."""

    reads: tuple[HookSite, ...]
    is_transcoder: bool

    @classmethod
    def of(cls, spec: TrainSpec) -> Self:
        """Those that `spec` names."""
        return cls(tuple(map(HookSite.parse, spec.hook_sites)), spec.is_transcoder)

    @property
    def all(self) -> tuple[HookSite, ...]:
        """In the order in which rows lie: the sites read, then the sites answered."""
        return self.reads + tuple(self.target(site) for site in self.reads if self.is_transcoder)

    def target(self, site: HookSite) -> HookSite:
        """Where the SAE at `site` answers: mlp_out of its layer for a transcoder, else the site itself."""
        return HookSite(layer=site.layer, site="mlp_out") if self.is_transcoder else site

    def pair(self, of_all: tuple[Any, ...], number: int) -> tuple[Any, Any]:
        """Of something for each captured site, that of the read site `number` and of its target, None for an autoencoder."""
        return of_all[number], of_all[len(self.reads) + number] if self.is_transcoder else None

    def limits(self, thresholds: tuple[float, ...]) -> tuple[float | None, ...]:
        """For each captured site the largest norm; targets go with their inputs."""
        return thresholds + (None,) * (len(self.all) - len(self.reads))
