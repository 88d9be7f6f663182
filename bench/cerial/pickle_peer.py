"""The same payloads with Python's pickle: prints encode and decode in
microseconds, and bytes. usage: pickle_peer.py LETTER"""
import gc
import pickle
import sys
import time

ROUNDS = 7
BATCH = 0.04
state = 42


def random():
    global state
    state = (state * 16807) % 2147483647
    return state / 2147483647


def between(low, high):
    return low + int(random() * (high - low + 1) // 1)


class Point:
    def __init__(self, x, y, name):
        self.x, self.y, self.name = x, y, name


def nodes(n):
    found = [{"id": i} for i in range(1, n + 1)]
    for i in range(1, n + 1):
        found[i - 1]["parent"] = found[max(1, i // 2) - 1]
        found[i - 1]["link"] = found[between(1, i) - 1]
    found[0]["last"] = found[n - 1]
    return found


def records():
    return [{
        "id": i, "name": f"user{i}", "email": f"user{i}@example.org",
        "active": i % 3 == 0, "score": random() * 100 + 0.001,
        "address": {"street": f"{between(1, 200)} Main Street",
                    "city": "Springfield", "zip": between(10000, 99999)},
        "tags": ["alpha", "beta", f"tag{i % 10}"],
    } for i in range(1, 1001)]


MAKE = {
    "a": lambda: {"id": 123456, "name": "alice liddell", "score": 98.25,
                  "flags": 5},
    "b": lambda: [between(-1000000, 1000000) for _ in range(10000)],
    "c": lambda: [random() * 1000 - 500 + 0.123456789 for _ in range(10000)],
    "d": records,
    "e": lambda: bytes(between(0, 255) for _ in range(4096)) * 256,
    "g": lambda: nodes(10000),
    "g0": lambda: [{"id": n["id"], "parent": n["parent"]["id"],
                    "link": n["link"]["id"]} for n in nodes(10000)],
    "h": lambda: [Point(i + 0.5, i * 2, f"v{i}") for i in range(1, 1001)],
}


def measure(fn, value):
    def batch(n):
        gc.collect()
        begun = time.process_time()
        for _ in range(n):
            fn(value)
        return time.process_time() - begun

    n = 1
    while batch(n) < BATCH / 2:
        n *= 2
    figures = sorted(batch(n) / n * 1e6 for _ in range(ROUNDS))
    return figures[ROUNDS // 2]


sys.setrecursionlimit(200000)
given = MAKE[sys.argv[1]]()
stored = pickle.dumps(given, 5)
print(measure(lambda v: pickle.dumps(v, 5), given),
      measure(pickle.loads, stored), len(stored))
