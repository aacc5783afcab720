"""A loopback Climate Data Store: the calls that the real cdsapi client makes, in their order.

Results are served by a host of their own, as the real ones are.
"""

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers.files import FileServer

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
EXPIRED = {"type": "results expired", "title": "results expired", "detail": "they were deleted"}
LIMITED = {"type": "rate limited", "title": "rate limit exceeded"}
FAILED = {"type": "job failed", "title": "The job has failed", "traceback": "no data"}


class DataStore:
    """Answers each request for data with `content(inputs)`.

    refusal: (status, error) with which every request is refused. largest: fields (days, hours
    and levels) beyond which one is refused as too large. failure: the error of a job that fails.
    queue: polls until a job is done. trouble: path endings to statuses with which the next calls
    of them are answered. expire, dismiss: ids of jobs. wrong_checksum: how many results come with
    one.
    inputs: the requests accepted; refused: how many were too large; tokens: the keys that came
    with the calls; files: the host of the results, whose `orders` are obeyed.
    """

    def __init__(self, content=None, *, refusal=None, failure=None, largest=None, queue=0):
        self.content = content
        self.refusal = refusal
        self.failure = failure
        self.largest = largest
        self.queue = queue
        self.trouble = {}
        self.expired, self.dismissed = set(), set()
        self.wrong_checksum = 0
        self.inputs = []
        self.refused = 0
        self.tokens = set()
        self.polls = {}
        self.files = FileServer()

    def __enter__(self):
        self.files.__enter__()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.files.__exit__()

    def size(self, inputs):
        names = ("day", "time", "pressure_level")
        return len(inputs["day"]) * len(inputs["time"]) * len(inputs.get(names[2], "1"))


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

    def _job(self, name, status):
        href = f"{self.owner.url}/retrieve/v1/jobs/{name}"
        return {
            "jobID": name,
            "processID": "era5",
            "status": status,
            "links": [{"rel": rel, "href": href} for rel in ("monitor", "self")],
        }

    def _in_trouble(self, path):
        """Obey what was ordered for a call; whether it is answered with that."""
        self.owner.tokens.add(self.headers.get("PRIVATE-TOKEN"))
        for ending, statuses in self.owner.trouble.items():
            if path.endswith(ending) and statuses:
                self._json(LIMITED, statuses.pop(0))
                return True
        return False

    def do_POST(self):
        owner = self.owner
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        if self._in_trouble(self.path):
            return
        if owner.refusal is not None:
            status, error = owner.refusal
            self._json(error, status)
        elif owner.largest is not None and owner.size(sent) > owner.largest:
            owner.refused += 1
            self._json(COST, 403)
        else:
            owner.inputs.append(sent)
            self._json(self._job(f"job-{len(owner.inputs)}", "accepted"), 201)

    def do_GET(self):
        path = self.path.split("?")[0]
        if self._in_trouble(path):
            return
        if path == "/api/catalogue/v1/messages":
            self._json({"messages": []})
        elif path.startswith("/api/retrieve/v1/processes/"):
            self._json({"id": path.rpartition("/")[2], "links": []})
        elif path.startswith("/api/retrieve/v1/jobs/job-"):
            self._about_a_job(path.split("/")[5], path.endswith("/results"))
        else:
            self._json({"title": "not found"}, 404)

    def _about_a_job(self, name, results):
        owner = self.owner
        if int(name.removeprefix("job-")) > len(owner.inputs):
            self._json({"title": "job not found"}, 404)
        elif not results:
            polls = owner.polls[name] = owner.polls.get(name, 0) + 1
            done = "failed" if owner.failure else "successful"
            waiting = "accepted" if polls == 1 else "running"
            status = done if polls > owner.queue else waiting
            self._json(self._job(name, "dismissed" if name in owner.dismissed else status))
        elif owner.failure:
            self._json(owner.failure, 400)
        elif name in owner.expired:
            self._json(EXPIRED, 404)
        else:
            self._json({"asset": {"value": self._result(name)}})

    def _result(self, name):
        owner = self.owner
        place = f"/{name}.nc"
        if place not in owner.files.files:
            owner.files.files[place] = owner.content(
                owner.inputs[int(name.removeprefix("job-")) - 1]
            )
        content = owner.files.files[place]
        digest = hashlib.md5(content).hexdigest()
        if owner.wrong_checksum:
            owner.wrong_checksum -= 1
            digest = digest[::-1]
        return {
            "type": "application/netcdf",
            "href": owner.files.url + place,
            "file:size": len(content),
            "file:checksum": digest,
        }
