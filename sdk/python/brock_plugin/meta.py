"""What every plugin answers: what it is, and which instances of it are open."""

import dataclasses
import json
import sys
import threading

import grpc

from . import meta_pb2 as pb
from . import process, settings
from .errors import Exist, Invalid, Unsupported, answer

PROTOCOL_MINOR = 2

KINDS = {"destination": pb.KIND_DESTINATION, "keyprovider": pb.KIND_KEY_PROVIDER}

# The methods that make an ability, and its name on the wire and for people.
ABILITIES = [
    ("replace", pb.CAPABILITY_REPLACE, "replace"),
    ("probe", pb.CAPABILITY_PROBE, "probe"),
    ("report", pb.CAPABILITY_REPORT, "report"),
    ("export_key", pb.CAPABILITY_EXPORT, "export"),
]


class Meta:
    """Describes a plugin and keeps its instances. Make is called with the
    settings of each, and is the plugin's class or a function."""

    def __init__(self, kind, name, version, doc, make, settings=(), schemes=(), environment=()):
        self.kind, self.name, self.version, self.doc = kind, name, version, doc
        self.make, self.settings, self.schemes = make, list(settings), list(schemes)
        self.environment = list(environment)
        self._lock = threading.Lock()
        self._instances = {}  # None while one is being opened

    def serve(self, handlers):
        """Serves the host, or tells a user who started the plugin what it is."""
        if not process.started_by_host():
            sys.exit(self._by_hand(sys.argv[1:]))
        meta = service(
            "brock.plugin.v1.MetaService",
            Describe=unary(self._describe, pb.DescribeRequest),
            Open=unary(self._open, pb.OpenRequest),
            Close=unary(self._close, pb.CloseRequest),
        )
        process.serve([meta, handlers], self._close_all)

    def instance(self, instance_id, ability=""):
        """Returns what was opened under an id, if it has that method."""
        with self._lock:
            instance = self._instances.get(instance_id)
        if instance is None:
            raise Invalid(f'instance "{instance_id}" is not open')
        if ability and not hasattr(instance, ability):
            raise Unsupported(f"{self.kind} {self.name}: no {ability}")
        return instance

    def _describe(self, request):
        return pb.DescribeResponse(
            name=self.name,
            version=self.version,
            doc=self.doc,
            kind=KINDS[self.kind],
            schemes=self.schemes,
            settings=[pb.Setting(**dataclasses.asdict(s)) for s in self.settings],
            capabilities=[c for method, c, _ in ABILITIES if hasattr(self.make, method)],
            protocol_minor=PROTOCOL_MINOR,
            environment=self.environment,
        )

    def _open(self, request):
        with self._lock:
            if not request.instance or request.instance in self._instances:
                raise Exist(f'instance "{request.instance}"')
            self._instances[request.instance] = None
        try:
            instance = self.make(settings.decode(self.settings, request.settings))
        except BaseException:
            with self._lock:
                del self._instances[request.instance]
            raise
        with self._lock:
            self._instances[request.instance] = instance
        return pb.OpenResponse(capabilities=[c for method, c, _ in ABILITIES if hasattr(instance, method)])

    def _close(self, request):
        with self._lock:
            instance = self._instances.get(request.instance)
            if instance is not None:
                del self._instances[request.instance]
        if hasattr(instance, "close"):
            instance.close()
        return pb.CloseResponse()

    def _close_all(self):
        with self._lock:
            instances = list(self._instances.values())
            self._instances.clear()
        for instance in instances:
            if hasattr(instance, "close"):
                instance.close()

    def _by_hand(self, args):
        if args == ["describe", "--json"]:
            description = {
                "name": self.name,
                "version": self.version,
                "doc": self.doc,
                "schemes": self.schemes,
                "kind": self.kind,
                "protocol": process.PROTOCOL,
                "protocol_minor": PROTOCOL_MINOR,
                "env": self.environment,
                "settings": [dataclasses.asdict(s) for s in self.settings],
                "capabilities": [name for method, _, name in ABILITIES if hasattr(self.make, method)],
            }
            print(json.dumps(description, indent=2))
            return 0
        program = f"brock-{self.kind}-{self.name}"
        out = sys.stdout if args == ["describe"] else sys.stderr
        print(f"{program} {self.version} is a plugin of brock, which starts it when it is needed.", file=out)
        print(f"{self.doc}\n\nSettings:", file=out)
        for s in self.settings:
            print(f"  {s.name:16} {s.type:9} {s.doc}", file=out)
        return 0 if args == ["describe"] else 2


def service(name, **handlers):
    """Returns a service of these methods."""
    return grpc.method_handlers_generic_handler(name, handlers)


def unary(run, request_type):
    """Returns the handler of a call whose answer run returns."""

    def call(request, context):
        try:
            return run(request)
        except Exception as e:
            answer(context, e, getattr(request, "name", ""))

    return grpc.unary_unary_rpc_method_handler(call, request_type.FromString, _encode)


def stream(run, request_type):
    """Returns the handler of a call whose answers run yields."""

    def call(request, context):
        try:
            yield from run(request)
        except Exception as e:
            answer(context, e, getattr(request, "name", ""))

    return grpc.unary_stream_rpc_method_handler(call, request_type.FromString, _encode)


def _encode(message):
    return message.SerializeToString()
