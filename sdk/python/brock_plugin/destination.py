"""Destinations: objects come in frames, and are stored when they are complete."""

import collections
import threading

import grpc

from . import destination_pb2 as pb
from .crc32c import concat, crc32c
from .errors import Conflict, Error, Exist, Invalid, Unavailable, Unsupported, answer
from .meta import Meta, service, stream, unary

FRAME_SIZE = 1 << 20  # bytes of the largest frame
PAGE_SIZE = 64 << 10  # bytes of the names in one page of a list
LONGEST_NAME = 1024
COMMITS = 1024  # Puts that are remembered


def serve_destination(name, version, doc, schemes, settings, make, environment=()):
    """Serves a destination plugin until the host is done with it. Make is the
    plugin's class, or a function that returns an instance of one, and is called
    with the settings of every place that the host wants to use: settings.uri is
    the place itself. Environment names the variables that the plugin reads
    besides those of its settings."""
    meta = Meta("destination", name, version, doc, make, settings, schemes, environment)
    d = _Destination(meta)
    meta.serve(
        service(
            "brock.plugin.v1.DestinationService",
            Put=grpc.stream_unary_rpc_method_handler(
                d.put, pb.PutRequest.FromString, pb.PutResponse.SerializeToString
            ),
            Get=stream(d.get, pb.GetRequest),
            List=stream(d.list, pb.ListRequest),
            Delete=unary(d.delete, pb.DeleteRequest),
            Version=unary(d.version, pb.VersionRequest),
            Probe=unary(d.probe, pb.ProbeRequest),
            Report=unary(d.report, pb.ReportRequest),
        )
    )


class _Destination:
    def __init__(self, meta):
        self._meta = meta
        self._commits = _Commits()

    def put(self, steps, context):
        name = ""
        try:
            first = next(steps, pb.PutRequest())
            if first.WhichOneof("step") != "open":
                raise Invalid("put that does not begin with open")
            name = first.open.name
            return pb.PutResponse(version=self._put(first.open, Data(steps, context)))
        except Exception as e:
            answer(context, e, name)

    def _put(self, start, data):
        check_name(start.name)
        try:
            version = self._store(start, data)
        except (Exist, Conflict, FileExistsError) as refusal:
            return self._commits.replay(start, data, refusal)
        if not data.complete:
            raise Error("the plugin reports an object stored that was never committed")
        self._commits.add(start, data, version)
        return version

    def _store(self, start, data):
        if start.condition == pb.CONDITION_CREATE_ONLY:
            self._meta.instance(start.instance).put(start.name, data)
            return ""
        if start.condition == pb.CONDITION_IF_VERSION:
            return self._meta.instance(start.instance, "replace").replace(start.name, data, start.version)
        raise Unsupported(f"put under the condition {start.condition}")

    def get(self, request):
        instance = self._meta.instance(request.instance)
        check_name(request.name)
        if request.offset < 0:
            raise Invalid(f"offset {request.offset} of {request.name}")
        pieces = iter(instance.get(request.name, request.offset))
        piece = next(pieces, None)  # an error comes before the answer that all is well
        yield pb.GetResponse(info=pb.GetInfo())
        size = checksum = 0
        while piece is not None:
            for at in range(0, len(piece), FRAME_SIZE):
                data = bytes(piece[at : at + FRAME_SIZE])
                crc = crc32c(data)
                yield pb.GetResponse(frame=pb.Frame(offset=size, crc32c=crc, data=data))
                size, checksum = size + len(data), concat(checksum, crc, len(data))
            piece = next(pieces, None)
        yield pb.GetResponse(end=pb.GetEnd(length=size, crc32c=checksum))

    def list(self, request):
        instance = self._meta.instance(request.instance)
        check_prefix(request.prefix)
        page, size = [], 0
        for name, length in instance.list(request.prefix):
            page.append(pb.Object(name=name, size=length))
            size += len(name)
            if size >= PAGE_SIZE:
                yield pb.ListResponse(objects=page)
                page, size = [], 0
        yield pb.ListResponse(objects=page)

    def delete(self, request):
        instance = self._meta.instance(request.instance)
        check_name(request.name)
        self._commits.forget(request.instance, request.name)
        instance.delete(request.name)
        return pb.DeleteResponse()

    def version(self, request):
        instance = self._meta.instance(request.instance, "replace")
        check_name(request.name)
        return pb.VersionResponse(version=instance.version(request.name))

    def probe(self, request):
        self._meta.instance(request.instance, "probe").probe()
        return pb.ProbeResponse()

    def report(self, request):
        found = self._meta.instance(request.instance, "report").report()
        return pb.ReportResponse(findings=[pb.Finding(**f) for f in found])


class Data:
    """The bytes of an object that is being put: to iterate over, or to read like
    a file. Both end only after a commit that matches. Whatever else happens is
    an exception, and what was read must be thrown away."""

    def __init__(self, steps, context):
        self._steps, self._context = steps, context
        self._left = b""
        self.size, self.checksum, self.complete = 0, 0, False

    def __iter__(self):
        return self

    def __next__(self):
        if self._left:
            data, self._left = self._left, b""
            return data
        while not self.complete:
            data = self._next()
            if data:
                return data
        raise StopIteration

    def read(self, size=-1):
        """Returns up to size bytes, or all; b"" at the end."""
        if size < 0:
            return b"".join(self)
        data = next(self, b"") if size else b""
        data, self._left = data[:size], data[size:]
        return data

    def _next(self):
        step = next(self._steps, None)
        if step is None:
            raise Error("the host ended the put without a commit")
        kind = step.WhichOneof("step")
        if kind == "commit":
            self._finish(step.commit)
            return b""
        if kind != "frame":
            raise Invalid("put with a step that is neither frame nor commit")
        return self._accept(step.frame)

    def _accept(self, frame):
        data = frame.data
        if frame.offset != self.size:
            raise Error(f"frame at offset {frame.offset}, want one at {self.size}")
        if len(data) > FRAME_SIZE:
            raise Error(f"frame of {len(data)} bytes at offset {self.size}: {FRAME_SIZE} are allowed")
        if crc32c(data) != frame.crc32c:
            raise Unavailable(f"frame at offset {self.size}: checksum does not match")
        self.size += len(data)
        self.checksum = concat(self.checksum, frame.crc32c, len(data))
        return data

    def _finish(self, commit):
        if commit.size != self.size:
            raise Error(f"commit: {self.size} bytes arrived of {commit.size}")
        if commit.crc32c != self.checksum:
            raise Unavailable(f"commit: checksum of all {self.size} bytes does not match")
        if next(self._steps, None) is not None:
            raise Error("put that goes on after its commit")
        if not self._context.is_active():
            raise Error("the host has given the put up")
        self.complete = True


class _Commits:
    """The Puts that were stored last. A host that did not hear of one tries again
    with the same put id, and is not told that its own object is in its way."""

    def __init__(self):
        self._lock = threading.Lock()
        self._last = collections.OrderedDict()

    def add(self, start, data, version):
        with self._lock:
            self._last.pop((start.instance, start.name), None)
            if start.put_id:
                self._last[start.instance, start.name] = (start.put_id, data.size, data.checksum, version)
            if len(self._last) > COMMITS:
                self._last.popitem(last=False)

    def forget(self, instance, name):
        with self._lock:
            self._last.pop((instance, name), None)

    def replay(self, start, data, refusal):
        """Returns what the first try of a Put returned, if this is another try
        with the same bytes. Else the refusal stands."""
        with self._lock:
            first = self._last.get((start.instance, start.name))
        if first is None or first[0] != start.put_id:
            raise refusal
        for _ in data:
            pass
        if first[1:3] != (data.size, data.checksum):
            raise refusal
        return first[3]


def check_name(name):
    """Refuses what is no object's name, before the plugin sees it: a name that is
    not a clean relative path leads out of the place that it is joined to."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise Invalid(f"object name {name[:100]!r}")


def check_prefix(prefix):
    """Refuses what no object's name can begin with."""
    *whole, last = prefix.split("/")
    strange = any(part in ("", ".", "..") for part in whole) or last == ".."
    if strange or "\0" in prefix or len(prefix.encode()) > LONGEST_NAME:
        raise Invalid(f"prefix {prefix[:100]!r}")
