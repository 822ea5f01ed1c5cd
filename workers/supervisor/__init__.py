"""The supervisor: claims jobs, runs one child process for each, and is the only writer of their rows while they run.

claiming.py   which job next, on which device
child_process.py  one child: start, JSON lines, wishes, kill
supervising.py    one attempt of one job while its child runs
ending.py         how an attempt ends
warm.py       the child that steering keeps between jobs
waking.py     what a django-q2 message calls
reaping.py    jobs whose supervisor died; waking when a message was lost
"""
