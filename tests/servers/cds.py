"""A loopback Climate Data Store: the calls that the real cdsapi client makes, in their order."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LICENCE = {
    "type": "permission denied",
    "title": "required licences not accepted",
    "detail": "Not all the required licences have been accepted; please visit the data set's page.",
}
COST = {
    "type": "permission denied",
    "title": "cost limits exceeded",
    "detail": "Your request is too large, please reduce your selection.",
}
AUTHENTICATION = {"type": "permission denied", "title": "authentication failed"}


class DataStore:
    """Answers each request for data with `content(inputs)`.

    refusal: (status, error) with which the request is refused. failure: the error of a job that
    fails. inputs: the requests received; tokens: the keys that came with them.
    """

    def __init__(self, content=None, *, refusal=None, failure=None):
        self.content = content
        self.refusal = refusal
        self.failure = failure
        self.inputs = []
        self.tokens = set()
        self.polls = 0

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.root = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = self.root + "/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # the client may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def _json(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _job(self, status):
        return {
            "jobID": "job-1",
            "processID": "era5",
            "status": status,
            "links": [
                {"rel": "monitor", "href": f"{self.owner.url}/retrieve/v1/jobs/job-1"},
            ],
        }

    def do_POST(self):
        owner = self.owner
        owner.tokens.add(self.headers.get("PRIVATE-TOKEN"))
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if owner.refusal is not None:
            status, error = owner.refusal
            self._json(error, status)
            return
        owner.inputs.append(sent["inputs"])
        self._json(self._job("accepted"), 201)

    def do_HEAD(self):
        self._file(with_body=False)

    def do_GET(self):
        owner = self.owner
        path = self.path.split("?")[0]
        if path == "/api/catalogue/v1/messages":
            self._json({"messages": []})
        elif path.startswith("/api/retrieve/v1/processes/"):
            self._json({"id": path.rpartition("/")[2], "links": []})
        elif path == "/api/retrieve/v1/jobs/job-1":
            owner.polls += 1
            done = "failed" if owner.failure else "successful"
            self._json(self._job(done if owner.polls > 1 else "running"))
        elif path == "/api/retrieve/v1/jobs/job-1/results":
            if owner.failure:
                self._json(owner.failure, 400)
                return
            size = len(owner.content(owner.inputs[-1]))
            value = {"type": "application/netcdf", "href": f"{owner.root}/result.nc"}
            self._json({"asset": {"value": {**value, "file:size": size}}})
        elif path == "/result.nc":
            self._file(with_body=True)
        else:
            self._json({"title": "not found"}, 404)

    def _file(self, *, with_body):
        body = self.owner.content(self.owner.inputs[-1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
