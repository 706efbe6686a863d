"""fake_server.py - an admin interface on a Unix socket, as runtime/admin/API.md says it, for tests/cli.

Answers come from `routes`: path -> value (sent as JSON), or -> callable(request) -> (status, body).
Every request is kept in `seen`.
"""
import http.server, json, os, socketserver, threading, urllib.parse


def problem(status, title, detail, reason, failed_by="client"):
    return status, {"title": title, "status": status, "detail": detail, "reason": reason,
                    "failed_by": failed_by, "request_id": "01jreq"}


class Request:
    def __init__(self, method, target, body):
        url = urllib.parse.urlsplit(target)
        self.method, self.path, self.body = method, urllib.parse.unquote(url.path), body
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        fake = self.server.fake
        length = int(self.headers.get("content-length", 0))
        request = Request(self.command, self.path, self.rfile.read(length))
        fake.seen.append(request)
        route = fake.routes.get(request.path)
        if route is None:
            status, body = problem(404, "Not Found", f"there is nothing at {request.path}", "no_such_path")
        elif callable(route):
            status, body = route(request)
        else:
            status, body = 200, route
        if status == "stream":
            return self.stream(body)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, chunks):
        """chunks: bytes to send; None ends the connection without the end of the answer."""
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for chunk in chunks:
                if chunk is None:
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except BrokenPipeError:  # the client ended first: Ctrl-C
            self.close_connection = True

    do_GET = do_POST = answer

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class FakeServer:
    def __init__(self, state):
        self.routes, self.seen, self.state = {}, [], state
        os.makedirs(state, exist_ok=True)
        here = os.open(state, os.O_RDONLY)  # sun_path has 107 bytes, a folder's name may have more
        self.server = Server(f"/proc/self/fd/{here}/admin.sock", Handler)
        os.close(here)
        self.server.fake = self
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
