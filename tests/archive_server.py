"""A web server on loopback that misbehaves on request."""

import contextlib
import hashlib
import http.server
import re
import threading

from data.spec import Archive


class Site:
    """What a server serves, how it behaves, and what it was asked."""

    def __init__(self, files):
        self.files = files  # bytes by name
        self.ranges = True  # whether it knows the Range header
        self.cut = None  # how many bytes of a body come before the connection breaks
        self.lengths = True  # whether it tells how long a body is
        self.asked = []  # (name, first byte wanted or None)
        self.url = None

    def archive(self, name):
        """The Archive of a file of this site."""
        content = self.files[name]
        return Archive(f"{self.url}/{name}", len(content), hashlib.md5(content).hexdigest())


class Handler(http.server.BaseHTTPRequestHandler):
    site = None

    def do_GET(self):
        site, name = self.site, self.path[1:]
        wanted = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        first = int(wanted.group(1)) if wanted else None
        site.asked.append((name, first))
        if name not in site.files:
            return self.send_error(404)
        body = site.files[name]
        if first is None or not site.ranges:
            self.send_response(200)
        elif first >= len(body):
            return self.send_error(416)
        else:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            body = body[first:]
        if site.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: site.cut])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(files):
    """A Site, served until the end of the block."""
    site = Site(files)
    handler = type("SiteHandler", (Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
