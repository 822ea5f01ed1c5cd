"""How the pages hold up: 100 open sockets and 20 readers, all in a process of their own, on a studio with some work in it.

    python -m tests.bench.load [READS]

prints one JSON line: milliseconds of pages and pushes (from the change of a row to its arrival at a socket), CPU per page
and per push of the web process, and its memory (USS) idle, after warm-up and at the end. Where there is more than one core
the client has the last one to itself, and its CPU is given beside: so it is not in the studio's way. Other load on the
machine is: then judge by the CPU figures. Bounded: READS pages (default 600), at most MOST_S seconds.
"""

import asyncio
import base64
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import psutil

from tests.pipeline.scratch import ScratchStudio, entry_url_in

SOCKETS = 100
READERS = 20
READS = 600
MOST_S = 180.0
CHANGE_EVERY_S = 0.5
"""As often as a topic is rendered at most."""
JOBS = 60


def world_make() -> dict[str, object]:
    """Rows of every kind: the pages to read, and the job that changes. It is paused, so no worker takes it."""
    from apps.jobs.models import Job
    from tests.apps.features.worlds import described_sae_make
    from tests.apps.training.worlds import run_finish, run_make
    from tests.supervisor.conftest import make_job

    sae = described_sae_make()
    run = run_make()
    run_finish(run)
    for number in range(JOBS):
        Job.objects.filter(pk=make_job().pk).update(state="succeeded", title=f"Train SAEs {number}")
    Job.objects.filter(state="queued").update(state="cancelled")
    job = make_job()
    job.state = "paused"
    job.save()
    feature = sae.features.filter(maximum__gt=0).first()
    pages = [
        "/",
        "/jobs/",
        job.get_absolute_url(),
        "/training/",
        run.get_absolute_url(),
        "/saes/",
        sae.get_absolute_url(),
    ]
    pages += [f"/features/sae/{sae.pk}/", feature.get_absolute_url(), "/datasets/", "/language-models/", "/system/"]
    return {"pages": pages, "job": job.pk, "topics": ["jobs/all", job.topic, run.topic]}


async def page_read(port: int, cookie: str, path: str) -> bool:
    """One page, to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await reader.read(-1)
    writer.close()
    return answer.startswith(b"HTTP/1.1 200")


async def socket_listen(port: int, cookie: str, topics: list[str], pushes: list[float]) -> None:
    """One socket; the age of every stamp that arrives goes to `pushes`, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    query, key = "&".join(f"topic={topic}" for topic in topics), base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws/live/?{query} HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: http://localhost:{port}\r\n"
        f"Cookie: {cookie}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    seen = ""
    while True:
        first, length = await reader.readexactly(2)
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        text = (await reader.readexactly(length)).decode(errors="replace") if length else ""
        if first & 15 == 8:
            return
        if (stamp := re.search(r"stamp ([\d.]+)", text)) and stamp[1] != seen:
            seen = stamp[1]
            pushes.append(time.monotonic() - float(seen))


async def client(port: int, cookie: str, world: dict[str, object], reads: int) -> dict[str, object]:
    """Sockets and readers at once, until the reads are done."""
    pushes: list[float] = []
    sockets = [
        asyncio.create_task(socket_listen(port, cookie, world["topics"], pushes))  # type: ignore[arg-type]
        for _ in range(SOCKETS)
    ]
    await asyncio.sleep(3)
    pushes.clear()  # the replay on connect
    waiting = iter(range(reads))
    took: list[float] = []
    failed = 0

    async def reader() -> None:
        nonlocal failed
        for number in waiting:
            began = time.monotonic()
            failed += not await page_read(port, cookie, world["pages"][number % len(world["pages"])])  # type: ignore[index,arg-type]
            took.append(time.monotonic() - began)

    began, cpu = time.monotonic(), time.process_time()
    try:
        async with asyncio.timeout(MOST_S):
            await asyncio.gather(*(reader() for _ in range(READERS)))
    except TimeoutError:
        pass
    figures = {
        "reads": len(took),
        "failed": failed,
        "seconds": round(time.monotonic() - began, 1),
        "client_cpu_s": round(time.process_time() - cpu, 2),
        "page_ms": _spread(took),
        "push_ms": _spread(pushes),
        "pushes": len(pushes),
        "closed_sockets": sum(task.done() for task in sockets),
    }
    for task in sockets:
        task.cancel()
    return figures


def _spread(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=20) if len(seconds) > 1 else [0.0] * 19
    return {"p50": round(1000 * cuts[9]), "p95": round(1000 * cuts[18])}


def client_run(connection: object, *arguments: object) -> None:
    """The client's process, on the last core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    connection.send(asyncio.run(client(*arguments)))  # type: ignore[attr-defined,arg-type]


def job_change(pk: int) -> None:
    """A new title with the time of the change, as the supervisor tells of progress."""
    from apps.core.live.publishing import publish
    from apps.jobs.models import Job

    Job.objects.filter(pk=pk).update(title=f"stamp {time.monotonic():.4f}")
    publish(f"jobs/{pk}", "jobs/all")


def web_of(studio: ScratchStudio) -> psutil.Process:
    """The web process."""
    return next(process for process in studio.family() if "daphne" in " ".join(process.cmdline()))


def under_load(studio: ScratchStudio, world: dict[str, object], cookie: str, reads: int) -> dict[str, object]:
    """One round of the client, with what the web process needed for it."""
    web = web_of(studio)
    before = web.cpu_times()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=client_run, args=(theirs, studio.port, cookie, world, reads)
    )
    process.start()
    while process.is_alive() and not ours.poll(CHANGE_EVERY_S):
        job_change(world["job"])  # type: ignore[arg-type]
    figures = ours.recv()
    process.join()
    used = web.cpu_times()
    cpu_s = used.user + used.system - before.user - before.system
    web_mib = round(web.memory_full_info().uss / 2**20)
    return {
        **figures,
        "web_cpu_s": round(cpu_s, 2),
        "web_cpu_ms_per_read": round(1000 * cpu_s / reads, 1),
        "web_mib": web_mib,
    }


def measure(studio: ScratchStudio, world: dict[str, object], reads: int) -> dict[str, object]:
    """Start the studio and put it under load twice: the first round warms it up."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)
    studio.start()
    os.sched_setaffinity(0, cores)
    time.sleep(3)
    family = [(process, process.memory_full_info()) for process in studio.family()]
    idle = {"idle_own_mib": round(sum(memory.uss for _, memory in family) / 2**20), "processes": len(family)}
    jar = CookieJar()
    build_opener(HTTPCookieProcessor(jar)).open(entry_url_in(studio.output())).read()
    cookie = "; ".join(f"{one.name}={one.value}" for one in jar)
    first = under_load(studio, world, cookie, reads // 2)
    second = under_load(studio, world, cookie, reads)
    return {**idle, "warm_web_mib": first["web_mib"], **second}


def main(reads: int) -> None:
    """Print the line."""
    with tempfile.TemporaryDirectory() as folder:
        studio = ScratchStudio(Path(folder))
        os.environ |= {**studio.environment, "DJANGO_SETTINGS_MODULE": "mistudio_site.settings"}
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        world = world_make()
        try:
            figures = measure(studio, world, reads)
            studio.end()
        finally:
            studio.kill_all()
    print(json.dumps({"bench": "load", "sockets": SOCKETS, "readers": READERS, "cores": os.cpu_count(), **figures}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else READS)
