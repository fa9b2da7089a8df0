"""What plugins of Brock are made of, in Python.

A plugin is a class and one call of serve_destination or serve_key_provider.
This package is the protocol between the two: the handshake, TLS that lets
nobody in but the host, checksums, settings, the kinds of errors, and the end
of the process when its host is gone. It needs grpcio 1.51 or later, protobuf
3.21 or later and the program openssl.

A destination has the methods

    put(name, data)      stores the bytes that data yields, whole or not at all
    get(name, offset)    yields the bytes of an object, in pieces of any size
    list(prefix)         yields (name, size), in the byte order of the names
    delete(name)         removes an object, or does nothing if there is none

and, where its storage can, replace(name, data, version) and version(name),
probe(), report(), and close(). A report is a list of findings for brock plugin
doctor, dicts of name, detail, hint and problem. A key provider has

    wrap(data_key)             returns (key_id, ciphertext)
    unwrap(key_id, ciphertext) returns the data key

and, where it can, export_key() and close(). Methods are called concurrently,
from many threads.
"""

from .destination import serve_destination
from .errors import (
    Conflict,
    Corrupt,
    Error,
    Exist,
    Invalid,
    NoSpace,
    NotExist,
    Permission,
    Unavailable,
    Unsupported,
    WrongKey,
)
from .keyprovider import serve_key_provider
from .settings import Secret, Setting

__all__ = [
    "Conflict",
    "Corrupt",
    "Error",
    "Exist",
    "Invalid",
    "NoSpace",
    "NotExist",
    "Permission",
    "Secret",
    "Setting",
    "Unavailable",
    "Unsupported",
    "WrongKey",
    "serve_destination",
    "serve_key_provider",
]
