"""CRC-32C (Castagnoli), the checksum of every frame and of every object.

The package crc32c computes it in hardware; without it, this module is fast
enough (about 50 MB/s) by computing many places of the data at once with the
string functions of the interpreter.
"""

import functools

try:
    from crc32c import crc32c as _hardware  # Debian: python3-crc32c
except ImportError:
    _hardware = None

POLYNOMIAL = 0x82F63B78  # reversed
LANES = 2048  # places that are computed at once


def crc32c(data):
    """Returns the checksum of data."""
    return _hardware(data) if _hardware else soft(data)


def concat(a, b, size):
    """Returns the checksum of two pieces of data from that of each and the
    second one's size."""
    return _multiply(a, _power(8 * size)) ^ b


def soft(data):
    """Returns the checksum of data without any package."""
    stride, crc = len(data) // LANES, 0
    if stride >= 8:
        shift = _shift(stride)
        for lane in _lanes(data, stride):
            crc = _apply(shift, crc) ^ lane
    else:
        stride = 0
    crc ^= 0xFFFFFFFF
    for byte in memoryview(data)[LANES * stride :]:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _lanes(data, stride):
    """Returns the checksums of LANES pieces of stride bytes. The bytes of all
    states lie in four planes, each of which is one long number."""
    data = bytes(data[: LANES * stride])
    ones = int.from_bytes(b"\xff" * LANES, "little")
    planes = [ones] * 4
    for i in range(stride):
        index = (planes[0] ^ int.from_bytes(data[i::stride], "little")).to_bytes(LANES, "little")
        looked_up = [int.from_bytes(index.translate(table), "little") for table in _PLANES]
        planes = [a ^ b for a, b in zip(planes[1:] + [0], looked_up)]
    columns = [(plane ^ ones).to_bytes(LANES, "little") for plane in planes]
    return (a | b << 8 | c << 16 | d << 24 for a, b, c, d in zip(*columns))


def _multiply(a, b):
    """Multiplies two polynomials modulo that of the checksum."""
    product = 0
    for i in range(31, -1, -1):
        if a >> i & 1:
            product ^= b
        b = b >> 1 ^ (POLYNOMIAL if b & 1 else 0)
    return product


@functools.lru_cache(4096)
def _power(n):
    """Returns x to the power of n."""
    if n == 0:
        return 1 << 31
    half = _power(n // 2)
    square = _multiply(half, half)
    return _multiply(square, 1 << 30) if n % 2 else square


@functools.lru_cache(64)
def _shift(size):
    """Returns tables that append size bytes to what a checksum is of."""
    factor = _power(8 * size)
    tables = []
    for k in range(4):
        table = [0]
        for bit in range(8):
            moved = _multiply(1 << (8 * k + bit), factor)
            table += [moved ^ entry for entry in table]
        tables.append(table)
    return tables


def _apply(shift, crc):
    return shift[0][crc & 0xFF] ^ shift[1][crc >> 8 & 0xFF] ^ shift[2][crc >> 16 & 0xFF] ^ shift[3][crc >> 24]


def _entry(crc):
    for _ in range(8):
        crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc


_TABLE = [_entry(i) for i in range(256)]
_PLANES = [bytes(entry >> 8 * k & 0xFF for entry in _TABLE) for k in range(4)]
