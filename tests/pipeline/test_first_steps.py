"""The first steps on a server, each the first on a new data folder, and starts that cannot be: real processes, in words."""

import http.client
import socket
import subprocess
import urllib.request

import pytest

from tests.pipeline.scratch import MANAGE, ScratchStudio

PASSWORD = "correct horse battery staple"


@pytest.fixture
def studio(tmp_path):
    studio = ScratchStudio(tmp_path / "new")
    studio.data_dir.mkdir()
    yield studio
    studio.kill_all()


def run(studio, *arguments, typed="", **environment):
    """A command with what is typed into it, to its end."""
    return subprocess.run(
        [*MANAGE, *arguments], env={**studio.environment, **environment}, input=typed, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def refused(done, *words):
    """It ended with one sentence that holds the words."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "Traceback" not in done.stdout, done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_a_server_is_opened_step_by_step_each_refusal_naming_the_next(studio):
    refused(run(studio, "studio", "--host", "0.0.0.0"), "no password", "password_set")
    done = run(studio, "password_set", typed=f"{PASSWORD}\n")
    assert done.returncode == 0, done.stderr
    refused(run(studio, "studio", "--host", "0.0.0.0"), "ALLOWED_HOSTS")
    studio.environment |= {"ALLOWED_HOSTS": "studio.example", "MISTUDIO_HOST": "0.0.0.0"}
    studio.start()
    request = urllib.request.Request(f"{studio.url}/sign-in/", headers={"Host": "studio.example"})
    assert urllib.request.urlopen(request).status == 200
    wrong = http.client.HTTPConnection("127.0.0.1", studio.port)
    wrong.request("GET", "/sign-in/", headers={"Host": "elsewhere.example"})
    answer = wrong.getresponse()
    assert answer.status == 400 and b"ALLOWED_HOSTS" in answer.read()


@pytest.mark.parametrize(
    "command", [("entry_url",), ("api_token", "create", "notebook"), ("job", "list"), ("setting", "list")]
)
def test_a_command_may_be_the_first_on_a_new_folder(studio, command):
    done = run(studio, *command)
    assert done.returncode == 0, done.stderr
    assert (studio.data_dir / "db.sqlite3").stat().st_size


def test_what_cannot_be_a_port_or_host_is_said(studio):
    refused(run(studio, "studio", "--port", "99999"), "99999", "65535")
    refused(run(studio, "studio", "--port", "-1"), "whole number")
    refused(run(studio, "studio", "--host", "x" * 70 + ".example"), "password")
    refused(run(studio, "studio", MISTUDIO_PORT="http"), "MISTUDIO_PORT", "whole number")
    refused(run(studio, "studio", "--host", "localhost" * 9), "password")


def test_a_data_folder_that_cannot_be_is_said(studio, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    refused(run(studio, "entry_url", DATA_DIR=str(file)), "DATA_DIR", str(file))
    refused(run(studio, "entry_url", DATA_DIR=str(file / "below")), "DATA_DIR")
    refused(run(studio, "entry_url", DATA_DIR="/proc/none"), "DATA_DIR")
    refused(run(studio, "entry_url", DATABASE_URL="mysql://a/b"), "DATABASE_URL")
    refused(run(studio, "entry_url", DATABASE_URL="nonsense"), "DATABASE_URL")
    refused(run(studio, "entry_url", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"), "database")
    refused(run(studio, "studio", DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"), "database")
    (studio.data_dir / "db.sqlite3").write_bytes(b"no database " * 1000)
    refused(run(studio, "entry_url"), "database")


def test_head_leaves_a_kept_alive_connection_in_order_and_other_sockets_are_refused(studio):
    studio.start()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(studio.entry_url().replace("localhost", "127.0.0.1")).read()
    token = studio.json("api_token", "create", "t")["token"]
    connection = http.client.HTTPConnection("127.0.0.1", studio.port)
    headers = {"Authorization": f"Bearer {token}"}
    for address in ("/api/v1/openapi.json", "/api/v1/openapi.json", "/static/plotly/plotly.min.js"):
        connection.request("HEAD", address, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == b""
        connection.request("GET", address, headers=headers)
        assert len(connection.getresponse().read()) > 65_536
    assert socket_answer(studio, "/ws/other/").startswith("HTTP/1.1 403")
    assert socket_answer(studio, "/ws/live/?topic=%ff").startswith("HTTP/1.1 403")
    assert "Traceback" not in studio.output()


def socket_answer(studio, address):
    """The first line that a WebSocket handshake is answered with."""
    with socket.create_connection(("127.0.0.1", studio.port), timeout=20) as peer:
        lines = [
            f"GET {address} HTTP/1.1", f"Host: 127.0.0.1:{studio.port}", f"Origin: http://127.0.0.1:{studio.port}",
            "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
        ]  # fmt: skip
        peer.sendall("\r\n".join(lines).encode())
        return peer.recv(200).decode().splitlines()[0]
