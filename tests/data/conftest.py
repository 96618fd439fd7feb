"""A mirror of files on 127.0.0.1, with the faults that mirrors have."""
from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture(name="Mirror")
def mirrors():
    return Mirror


class Mirror:
    """`with Mirror({name: bytes}) as mirror:` serves the files at mirror.url; `requests` lists (name, Range
    header) as they came.

    ranges=False: answers 200 with the whole file, whatever was asked. cut: breaks off after that many bytes
    of a body. status: answers every request with it. pause: seconds between the pieces of 1,000 bytes.
    """

    def __init__(self, files=None, ranges=True, cut=None, status=None, pause=0.0):
        self.files, self.ranges, self.cut, self.status, self.pause = files or {}, ranges, cut, status, pause
        self.requests, self.sent = [], 0

    def __enter__(self):
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler):
        name, wanted = handler.path.strip("/"), handler.headers.get("Range")
        self.requests.append((name, wanted))
        body, status = self.files.get(name), 200
        if self.status or body is None:
            handler.send_error(self.status or 404)
            return
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                handler.send_error(416)
                return
            body, status = body[start:], 206
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            for k in range(0, len(body if self.cut is None else body[:self.cut]), 1000):
                piece = body[k:k + 1000] if self.cut is None else body[k:min(k + 1000, self.cut)]
                handler.wfile.write(piece)
                self.sent += len(piece)
                time.sleep(self.pause)
        except (BrokenPipeError, ConnectionResetError):  # the other side was interrupted: that is the test
            pass
