# SPDX-License-Identifier: LGPL-2.1-or-later
"""grow.py N: buffers that grow to about N MiB, and sums of what is in them."""

import array
import io
import os
import pickle
import sys
import threading
import zlib

MIB = 1 << 20
size = int(sys.argv[1]) * MIB


def tell(what, data):
    print(what, len(data), "%08x" % zlib.crc32(data))


def grown(step, total, seed):
    """A bytearray that grows by step, with something else at each place."""
    data = bytearray()
    while len(data) < total:
        data += seed.to_bytes(4, "little") * (step // 4)
        seed = seed * 69069 + 1 & 0xFFFFFFFF
    return data


def in_child(work):
    """What work() returns in a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, work())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit("a child has failed")
    return answer


def child(data):
    data += bytes(size // 8)
    data[::4096] = b"c" * len(data[::4096])
    return b"%08x" % zlib.crc32(data)


def worker(results, i):
    results[i] = zlib.crc32(grown(20000 + 4096 * i, size // 8, i))


# By small steps, by large ones, by doubling; shrinking, and growing again.
tell("small steps", grown(40000, size, 1))
tell("large steps", grown(MIB, size, 2))
data = bytearray(b"0123456789abcdef" * 512)
while len(data) < size:
    data *= 2
tell("doubled", data)
del data[size // 3 :]
data += b"behind" * 99999
tell("shrunk and grown", data)
del data[: len(data) // 2]
tell("without its head", data)

# Children change what they share with their parent, who does not see it.
data = grown(MIB, size // 2, 3)
for _ in range(3):
    print("child", in_child(lambda: child(data)).decode())
    data += b"parent" * 100000
    tell("parent", data)

numbers = []
for i in range(size // 64):
    numbers.append(i * i & 0xFFFF)
tell("list", repr(numbers[::97]).encode())
numbers.sort()
numbers += numbers
tell("sorted", repr(numbers[::211]).encode())
words = array.array("Q")
for i in range(size // 128):
    words.append(i ^ 0x5A5A5A5A)
tell("array", words.tobytes())

buffer = io.BytesIO()
for i in range(size // 32768):
    buffer.write(bytes([i & 0xFF]) * 32749)
buffer.truncate(size // 2)
buffer.write(b"end")
tell("BytesIO", buffer.getvalue())
packed = pickle.dumps([bytes([i]) * (size // 256) for i in range(64)])
tell("pickle", packed)
tell("zlib", zlib.decompress(zlib.compress(packed, 1)))
text = "".join(chr(0x100 + i % 512) for i in range(size // 64))
tell("text", text.encode("utf-8"))
text += text.upper()
tell("upper", text.encode("utf-16-le"))

results = [0] * 4
threads = [
    threading.Thread(target=worker, args=(results, i)) for i in range(4)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("threads", *results)
