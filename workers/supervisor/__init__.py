"""The supervisor: claims jobs, runs one child process for each, and is the only writer of their rows while they run.

claiming.py       which job next, on which device
attempt.py        one attempt: its folders, and whether it is still one's own
child_process.py  one child: start, JSON lines, wishes, kill
supervising.py    one attempt of one job while its child runs
telling.py        what the child tells becomes rows
ending.py         how an attempt ends
warm.py           the child that steering keeps between jobs
waking.py         what a django-q2 message calls
reaping.py        jobs whose supervisor died; waking when a message was lost
processes.py      which process is meant: pid and start
"""
