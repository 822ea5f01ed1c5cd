"""`manage.py job list | show | cancel | pause | resume | finish | checkpoint | retry | priority | wait`."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.core.arguments import whole
from apps.jobs.api import ACTIONS, event_json
from apps.jobs.commands import JobCommand
from apps.jobs.models import Job
from apps.jobs.selectors import job_get, job_json, job_list
from apps.jobs.services import job_priority_set, job_retry


class Command(JobCommand):
    help = "Look at jobs and steer them: list, show, cancel, pause, resume, finish, checkpoint, retry, priority, wait."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=["list", "show", *ACTIONS, "retry", "priority", "wait"])
        parser.add_argument("id", nargs="?", type=whole, help="the job; not needed for list")
        parser.add_argument("value", nargs="?", type=whole, help="the new number, for priority")
        parser.add_argument("--state", default="", help="for list: a state, or active, or ended")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            return self._list(options["state"], as_json=options["json"])
        if options["id"] is None:
            raise CommandError(f"{options['action']} needs the id of a job.")
        job = self._act(options["action"], job_get(options["id"]), options["value"])
        if options["action"] == "show":
            return self._show(job, as_json=options["json"])
        self.follow(job, wait=options["wait"] or options["action"] == "wait", as_json=options["json"])

    def _act(self, action: str, job: Job, value: int | None) -> Job:
        if action in ACTIONS:
            ACTIONS[action](job=job)
        elif action == "retry":
            return job_retry(job=job)
        elif action == "priority":
            if value is None:
                raise CommandError("priority needs a number: lower goes first.")
            job_priority_set(job=job, priority=value)
        job.refresh_from_db()
        return job

    def _list(self, state: str, *, as_json: bool) -> None:
        jobs = job_list(state=state)[:200]
        if as_json:
            self.stdout.write(json.dumps([job_json(job) for job in jobs]))
            return
        for job in jobs:
            percent = "" if job.percent is None else f"{job.percent} %"
            self.stdout.write(f"{job.pk:>6}  {job.state:<12} {percent:>6}  {job.title}  {job.subject_name}")

    def _show(self, job: Job, *, as_json: bool) -> None:
        events = [event_json(event) for event in job.events.all()]
        if as_json:
            self.stdout.write(json.dumps({**job_json(job), "events": events}))
            return
        self.stdout.write(f"{job.title} (job {job.pk}): {job.state}")
        for event in events:
            self.stdout.write(f"  {event['at'][:19]}  attempt {event['attempt']}  {event['text']}")
        if job.error_code:
            self.stdout.write(f"  {job.error_message} {job.error_hint}")
