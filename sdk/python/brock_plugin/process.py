"""A plugin's process: how it greets its host, who may talk to it, when it ends."""

import base64
import concurrent.futures
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import grpc

PROTOCOL = 1  # of Brock; it changes only when nobody can do without
MESSAGE_LIMIT = 2 << 20  # bytes of the largest message, in both directions
THREADS = 256  # calls that are served at once; the rest wait
GRACE = 1.0  # seconds that calls may take to clean up when the host has gone

_GO_PLUGIN = 1  # version of the handshake
_COOKIE = ("BROCK_PLUGIN", "brock.plugin.v1")


def started_by_host():
    """Tells whether there is a host, as opposed to a user at a keyboard."""
    return os.environ.get(_COOKIE[0]) == _COOKIE[1]


def serve(handlers, close):
    """Serves until the host is done with the plugin, or has gone. Close is
    called at the end. It does not return."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no secret is left on a disk
    greeting = _take_stdout()
    _log_to_stderr()
    life = _Life(close)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(THREADS, "call"),
        handlers=[*handlers, _go_plugin(life)],
        options=[
            ("grpc.max_receive_message_length", MESSAGE_LIMIT),
            ("grpc.max_send_message_length", MESSAGE_LIMIT),
            # The host asks an idle plugin for a sign of life every ten seconds.
            # By default that is too often, and a healthy host is cut off.
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    key, certificate = _make_certificate()
    # Nobody gets in but who holds the key of the one certificate that the host
    # has named, and the host talks to nobody but who holds the key of ours.
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=os.environ["PLUGIN_CLIENT_CERT"].encode(),
        require_client_auth=True,
    )
    os.umask(0o077)
    address = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin.sock")
    if not server.add_secure_port("unix:" + address, credentials):
        sys.exit(f"cannot listen on {address}")
    server.start()
    der = b"".join(certificate.splitlines()[1:-1]).rstrip(b"=").decode()
    with greeting:
        greeting.write(f"{_GO_PLUGIN}|{PROTOCOL}|unix|{address}|grpc|{der}\n")
    life.live(server, address)


def _take_stdout():
    """Returns standard output, which belongs to the handshake. What anybody
    else writes there goes to standard error from now on."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stdout


def _make_certificate():
    """Returns a new private key and the certificate of "localhost" for it."""
    openssl = shutil.which("openssl", path=os.defpath + ":/usr/local/bin:/opt/homebrew/bin")
    if not openssl:
        sys.exit("the program openssl is missing, which makes the certificate that Brock wants")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
    command += ["-days", "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", "/dev/stdout", "-out", "/dev/stdout"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    at = made.stdout.find(b"-----BEGIN CERTIFICATE-----")
    if made.returncode != 0 or at < 0:
        sys.exit(f"openssl makes no certificate: {made.stderr.decode(errors='replace').strip()}")
    return made.stdout[:at], made.stdout[at:]


def _go_plugin(life):
    """Returns the services that go-plugin's client asks for: whether we are well
    (the answer is 1, SERVING), and to shut down."""
    health = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")
    shutdown = grpc.unary_unary_rpc_method_handler(lambda request, context: life.end() or b"")
    services = {
        "/grpc.health.v1.Health/Check": health,
        "/plugin.GRPCController/Shutdown": shutdown,
    }

    class Handlers(grpc.GenericRpcHandler):
        def service(self, call):
            return services.get(call.method)

    return Handlers()


class _Life:
    """Ends when the host says so, or is gone: then the liveness pipe reads the
    end of the file, even if the host was killed."""

    def __init__(self, close):
        self._close = close
        self._over = threading.Event()
        self._orphan = False
        signal.signal(signal.SIGTERM, lambda *_: self._die())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the host ends us
        pipe = os.environ.pop("BROCK_PLUGIN_LIVENESS", "")
        if pipe:
            os.set_inheritable(int(pipe), False)
            threading.Thread(target=self._watch, args=(int(pipe),), daemon=True).start()

    def _watch(self, pipe):
        while os.read(pipe, 1):
            pass
        self._die()

    def _die(self):
        self._orphan = True
        self._over.set()

    def end(self):
        self._over.set()

    def live(self, server, address):
        """Waits for the end and ends the process, with what it has started,
        whatever its calls do."""
        self._over.wait()
        if self._orphan:
            _signal_group(signal.SIGTERM)
        watchdog = threading.Timer(2 * GRACE, self._exit, [address])
        watchdog.daemon = True
        watchdog.start()
        server.stop(GRACE).wait()
        self._close()
        self._exit(address)

    def _exit(self, address):
        for remove, path in ((os.unlink, address), (os.rmdir, os.path.dirname(address))):
            try:
                remove(path)
            except OSError:
                pass  # the host is quicker, if it lives
        sys.stderr.flush()
        if self._orphan:
            _signal_group(signal.SIGKILL)
        os._exit(0)


def _signal_group(number):
    """Signals the processes that this one has started, if the group is its own."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, number)


class _HostFormat(logging.Formatter):
    """Writes lines of JSON that the host understands and shows in its own log."""

    def format(self, record):
        line = {
            "@level": {"WARNING": "warn", "CRITICAL": "error"}.get(record.levelname, record.levelname.lower()),
            "@message": record.getMessage(),
            "@module": record.name,
            "@timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log_to_stderr():
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_HostFormat())
    level = os.environ.get("BROCK_PLUGIN_LOG_LEVEL", "info").upper()
    level = {"TRACE": "DEBUG", "OFF": "CRITICAL", "WARN": "WARNING"}.get(level, level)
    logging.basicConfig(handlers=[handler], level=level if level in logging._nameToLevel else "INFO")
