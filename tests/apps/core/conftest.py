"""A server to call."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


@pytest.fixture
def server():
    """A small web server on loopback; `server.answers` maps paths to (status, headers, body)."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            self.do_GET()

        def do_GET(self):
            self.server.asked.append((self.path, dict(self.headers)))
            self.server.methods.append(self.command)
            status, headers, body = self.server.answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    found = HTTPServer(("127.0.0.1", 0), Answer)
    found.answers, found.asked, found.methods = {}, [], []
    found.url = f"http://127.0.0.1:{found.server_port}"
    threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()
