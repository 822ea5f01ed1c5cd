"""Jobs: the queue of record for every long operation, and what each one said on its way."""

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from apps.core.live.topics import JOBS, topic
from apps.jobs.states import ACTIVE, ENDED, State, Wish
from workers.engine.specs.base import Spec, spec_load
from workers.engine.specs.kinds import SPECS


class Job(models.Model):
    """One unit of background work. Only services and the supervisor change it; `state` moves by `states.MOVES`."""

    kind = models.CharField(max_length=40)
    queue = models.CharField(max_length=10)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    wish = models.CharField(max_length=12, choices=Wish.choices, default=Wish.NONE, blank=True)
    priority = models.PositiveSmallIntegerField()
    spec = models.JSONField()

    subject_entity = models.CharField(max_length=40, blank=True)
    subject_id = models.BigIntegerField(null=True, blank=True)
    subject_name = models.CharField(max_length=200, blank=True)

    device_wish = models.CharField(max_length=12, default="cpu")
    memory_bytes = models.BigIntegerField(default=0)
    """Estimate of the runner, before the start."""
    waits_for = models.CharField(max_length=200, blank=True)
    """Why a queued job does not start, in words."""

    attempt = models.PositiveSmallIntegerField(default=0)
    attempts_without_progress = models.PositiveSmallIntegerField(default=0)
    """Attempts that ended without a new checkpoint; three of them fail the job."""
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    checkpoint_step = models.BigIntegerField(null=True, blank=True)

    phase = models.CharField(max_length=80, blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    message = models.CharField(max_length=300, blank=True)
    phase_started_at = models.DateTimeField(null=True, blank=True)

    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    error_traceback = models.TextField(blank=True)

    host = models.CharField(max_length=120, blank=True)
    pid = models.IntegerField(null=True, blank=True)
    pid_started = models.CharField(max_length=80, blank=True, default="")
    """Start of the child's process: a reused pid is never killed by mistake."""
    heartbeat_at = models.DateTimeField(null=True, blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject_entity", "subject_id"],
                condition=Q(state__in=[s.value for s in ACTIVE]),
                name="one_active_job_per_kind_and_subject",
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="job_state_is_known"),
        ]
        indexes = [
            models.Index(fields=["state", "queue", "priority", "id"], name="job_claim"),
            models.Index(fields=["subject_entity", "subject_id"], name="job_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.title} (job {self.pk})"

    def get_absolute_url(self) -> str:
        return reverse("jobs:detail", args=[self.pk])

    @property
    def topic(self) -> str:
        return topic(JOBS, self.pk)

    @property
    def spec_class(self) -> type[Spec]:
        return SPECS[self.kind]

    @property
    def loaded_spec(self) -> Spec:
        """The Spec, upgraded to today's schema."""
        return spec_load(self.spec_class, self.spec)

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED

    @property
    def resumes(self) -> bool:
        return self.spec_class.RESUMES

    @property
    def finishes(self) -> bool:
        """Whether it can end early and keep what it has."""
        return self.spec_class.FINISHES

    @property
    def percent(self) -> int | None:
        """Done share of the phase; never 100 before the end, None when the total is unknown."""
        if self.state == State.SUCCEEDED:
            return 100
        if not self.total:
            return None
        return min(99, int(100 * self.done / self.total))

    def seconds_left(self, now: datetime) -> float | None:
        """Time left in this phase at its mean speed so far; None when that says nothing yet."""
        if self.state != State.RUNNING or not self.total or self.done <= 0 or self.phase_started_at is None:
            return None
        spent = (now - self.phase_started_at).total_seconds()
        return None if spent < 2 else spent * (self.total - self.done) / self.done


class JobEvent(models.Model):
    """One thing that happened to a job: a move, a warning, a checkpoint, an attempt's end."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    attempt = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(auto_now_add=True)
    level = models.CharField(
        max_length=10, choices=[("info", "info"), ("warning", "warning"), ("error", "error")], default="info"
    )
    text = models.TextField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Worker(models.Model):
    """One process of the studio and its heartbeat: the studio itself, a supervisor, or a supervisor with a warm child."""

    class Role(models.TextChoices):
        STUDIO = "studio", "studio"
        SUPERVISOR = "supervisor", "takes jobs"
        STEER = "steer", "holds the warm child"

    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    pid_started = models.CharField(max_length=80, blank=True, default="")
    """Start of the process: while the one of this pid and start lives, its job is not lost, however long it is silent."""
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.SUPERVISOR)
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="workers")
    draining = models.BooleanField(default=False)
    """On the studio's row: supervisors of this host interrupt their jobs and take no others."""
    warm_device = models.CharField(max_length=12, blank=True)
    warm_bytes = models.BigIntegerField(default=0)
    unload_wanted = models.BooleanField(default=False)
    """Another job waits for the warm child's device: end it when it is idle."""
    started_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="one_worker_per_process")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class DeviceLease(models.Model):
    """Which job holds which device, and how much memory it is expected to take. Ends with the job."""

    host = models.CharField(max_length=120)
    device = models.CharField(max_length=12)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="lease")
    memory_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.device} on {self.host} for job {self.job_id}"


class Subject(models.Model):
    """What a job makes: a row that exists from the moment the work is asked for and is ready once `ready_at` is set."""

    ENTITY: ClassVar[str]
    """Topic prefix, a constant of core.live.topics."""

    created_at = models.DateTimeField(auto_now_add=True)
    ready_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)

    class Meta:
        abstract = True

    @property
    def topic(self) -> str:
        return topic(self.ENTITY, self.pk)

    @property
    def is_ready(self) -> bool:
        return self.ready_at is not None

    def parts(self) -> "Iterable[Subject]":
        """Rows that go with this one and may have jobs of their own: it is not deleted while one of them works."""
        return ()

    @property
    def jobs(self) -> models.QuerySet[Job]:
        """All jobs about this row, newest first."""
        return Job.objects.filter(subject_entity=self.ENTITY, subject_id=self.pk)

    @property
    def job(self) -> Job | None:
        """The newest job about this row."""
        return self.jobs.first()
