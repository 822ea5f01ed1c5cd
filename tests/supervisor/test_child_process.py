"""What a child process is started with."""

import os

from workers.supervisor.child_process import child_environment


def test_threads_of_a_child_sleep_while_they_wait_unless_the_user_wants_them_to_spin(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert child_environment({})["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert child_environment({})["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_child_gets_secrets_and_all_that_the_studio_has(monkeypatch):
    monkeypatch.setenv("PATH_OF_SOMETHING", "here")
    found = child_environment({"HF_TOKEN": "hf_secret"})
    assert (found["PATH_OF_SOMETHING"], found["HF_TOKEN"]) == ("here", "hf_secret")
    assert "HF_TOKEN" not in os.environ or os.environ["HF_TOKEN"] != "hf_secret"
