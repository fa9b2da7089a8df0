"""A key provider that needs nothing but the standard library. It is for tests:
a real one uses the AES of a library, or a service that keeps the key."""

import hashlib
import hmac
import os

from brock_plugin import Corrupt, Invalid, WrongKey


class Ring:
    def __init__(self, key):
        if len(key) != 64:
            raise Invalid("setting key: not 64 hexadecimal digits")
        self.key = bytes.fromhex(key)
        self.id = "ring/" + self._derive(b"id").hex()[:16]

    def _derive(self, use):
        return hmac.digest(self.key, use, hashlib.sha256)

    def _mix(self, nonce, data):
        pad = hashlib.shake_256(self._derive(b"mix") + nonce).digest(len(data))
        return bytes(a ^ b for a, b in zip(data, pad))

    def _tag(self, sealed):
        return hmac.digest(self._derive(b"tag"), sealed, hashlib.sha256)

    def wrap(self, data_key):
        nonce = os.urandom(16)
        sealed = nonce + self._mix(nonce, data_key)
        return self.id, self._tag(sealed) + sealed

    def unwrap(self, key_id, ciphertext):
        if key_id != self.id:
            raise WrongKey(f"wrapped by {key_id[:100]}, this key is {self.id}")
        tag, sealed = ciphertext[:32], ciphertext[32:]
        if len(sealed) < 16 or not hmac.compare_digest(tag, self._tag(sealed)):
            raise Corrupt(f"wrapped key of {len(ciphertext)} bytes")
        return self._mix(sealed[:16], sealed[16:])

    def export_key(self):
        return self.key
