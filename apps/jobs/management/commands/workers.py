"""`manage.py workers`: django-q2's cluster, which carries the wake-ups of all queues; as `manage.py qcluster`, but smaller."""

import gc
from typing import Any

from django.db import connections
from django_q.management.commands.qcluster import Command as ClusterCommand
from django_q.models import OrmQ

from apps.jobs.models import DeviceLease, Job, JobEvent, Worker
from workers.supervisor import waking

PRELOADED = (waking,)
"""What every worker needs: imported here, before they are forked, so that they share its memory."""


class Command(ClusterCommand):
    help = "Take jobs of all queues until SIGTERM; `manage.py studio` starts this."

    def handle(self, *args: Any, **options: Any) -> None:
        for model in (Job, JobEvent, Worker, DeviceLease, OrmQ):  # what Django works out at the first query of each
            rows = model._default_manager.filter(pk=0)
            rows.first(), rows.update(id=0), rows.delete()
        connections.close_all()
        gc.collect()
        gc.freeze()  # what is shared is not looked over, and so not copied, by each worker's collector
        super().handle(*args, **options)
