"""Tells what a WSGI server made of a request. The port is the first argument."""
import json
import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


def echo(environ, start_response):
    length = int(environ.get("CONTENT_LENGTH") or 0)
    seen = {
        "vars": {k: v for k, v in environ.items() if isinstance(v, str)},
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "body": len(environ["wsgi.input"].read(length)),
    }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Threaded(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", int(sys.argv[1]), echo, server_class=Threaded, handler_class=Quiet).serve_forever()
