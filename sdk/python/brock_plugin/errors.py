"""The kinds of failure that the host acts upon.

Raise one with a text that says what the caller does not know, and a hint if the
user can do something about it. An OSError has a kind of its own accord. The
host shows the text of any other exception as it is.
"""

import errno
import logging
import math

import grpc

from . import error_pb2 as pb

LONGEST = 8 << 10  # of a text: it travels in a header
LONGEST_WAIT = 24 * 60 * 60  # seconds before another try


class Error(Exception):
    """A failure of no particular kind."""

    code, reason = grpc.StatusCode.UNKNOWN, pb.REASON_UNSPECIFIED

    def __init__(self, text, hint="", retryable=False, retry_after=0):
        super().__init__(text)
        self.hint, self.retryable = hint, retryable
        self.retry_after = retry_after  # seconds that the storage asks to be left alone


class NotExist(Error):
    """There is no object of that name, and the storage itself said so."""

    code, reason = grpc.StatusCode.NOT_FOUND, pb.REASON_NOT_EXIST


class Exist(Error):
    """An object of that name is there already."""

    code, reason = grpc.StatusCode.ALREADY_EXISTS, pb.REASON_EXIST


class Permission(Error):
    """Credentials are missing, refused or too weak."""

    code, reason = grpc.StatusCode.PERMISSION_DENIED, pb.REASON_PERMISSION


class Invalid(Error):
    """A setting or an argument can never work."""

    code, reason = grpc.StatusCode.INVALID_ARGUMENT, pb.REASON_INVALID


class Conflict(Error):
    """replace: another version is there by now."""

    code, reason = grpc.StatusCode.ABORTED, pb.REASON_CONFLICT


class Unavailable(Error):
    """Worth another try. Nothing else is tried again."""

    code, reason = grpc.StatusCode.UNAVAILABLE, pb.REASON_UNAVAILABLE


class NoSpace(Error):
    """A disk or a quota is full."""

    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, pb.REASON_NO_SPACE


class WrongKey(Error):
    """unwrap: another key wrapped the data key."""

    code, reason = grpc.StatusCode.FAILED_PRECONDITION, pb.REASON_WRONG_KEY


class Corrupt(Error):
    """What is stored is damaged."""

    code, reason = grpc.StatusCode.DATA_LOSS, pb.REASON_CORRUPT


class Unsupported(Error):
    """The plugin cannot do this."""

    code, reason = grpc.StatusCode.UNIMPLEMENTED, pb.REASON_UNSUPPORTED


_BUILTIN = [
    (FileNotFoundError, NotExist),
    (FileExistsError, Exist),
    (PermissionError, Permission),
    (TimeoutError, Unavailable),
    (ConnectionError, Unavailable),
    (NotImplementedError, Unsupported),
]

_ERRNO = {
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EROFS: Permission,
    errno.ENAMETOOLONG: Invalid,
    errno.EIO: Unavailable,
    errno.ESTALE: Unavailable,
}


def kind_of(e):
    """Returns an exception as an Error, with the same text."""
    if isinstance(e, Error):
        return e
    kind = next((kind for builtin, kind in _BUILTIN if isinstance(e, builtin)), Error)
    if isinstance(e, OSError):
        return _ERRNO.get(e.errno, kind)(str(e))
    if kind is Error:
        logging.getLogger("brock_plugin").error("%s where no exception was expected", type(e).__name__, exc_info=e)
        return Error(f"{type(e).__name__}: {e}")
    return kind(str(e) or type(e).__name__)


def answer(context, e, name):
    """Ends a call with the status that tells of an exception. The name is that
    of the object concerned."""
    e = kind_of(e)
    text = _clean(str(e))[:LONGEST]
    detail = pb.ErrorDetail(
        reason=e.reason,
        retryable=e.retryable or isinstance(e, Unavailable),
        hint=_clean(e.hint),
        name=_clean(name),
        retry_after_ms=math.ceil(1000 * min(max(0, e.retry_after), LONGEST_WAIT)),
    )
    context.set_trailing_metadata((("grpc-status-details-bin", _status(e.code.value[0], text, detail)),))
    context.abort(e.code, text)


def _status(code, text, detail):
    """Returns a google.rpc.Status, of which Debian has no module."""
    any_detail = _field(1, b"type.googleapis.com/" + detail.DESCRIPTOR.full_name.encode())
    any_detail += _field(2, detail.SerializeToString())
    return b"\x08" + _varint(code) + _field(2, text.encode()) + _field(3, any_detail)


def _field(number, data):
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def _clean(text):
    """Makes text fit for the wire, which takes UTF-8 only."""
    return text.encode(errors="replace").decode()
