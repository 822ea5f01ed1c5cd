"""The steps of an orderly end, one after the other within 15 s."""

from apps.home.management.commands.studio import DRAINED_BY_S, STOPPED_BY_S
from workers.supervisor.supervising import BEAT_EVERY_S, GRACE_S
from workers.watchdog import ORPHANS_GONE_S


def test_a_job_is_killed_before_the_studio_stops_waiting_and_all_are_gone_with_time_to_spare():
    assert BEAT_EVERY_S + GRACE_S < DRAINED_BY_S < STOPPED_BY_S < ORPHANS_GONE_S <= 15 - 3
