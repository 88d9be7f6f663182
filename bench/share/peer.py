"""What Python's multiprocessing.Manager does in the same place: prints what an
operation takes, in microseconds. usage: peer.py get|set|increment|text|call"""

import sys
import time
from multiprocessing import Lock, get_context
from multiprocessing.managers import BaseManager, DictProxy

TURNS = 4000


class Total:
    def __init__(self):
        self.n = 0

    def add(self, x):
        self.n += x


class Manager(BaseManager):
    pass


def get(shared, total, lock, turns):
    for _ in range(turns):
        shared["n"]


def put(shared, total, lock, turns):
    for i in range(turns):
        shared["n"] = i


def increment(shared, total, lock, turns):
    for _ in range(turns):
        with lock:
            shared["n"] += 1


def text(shared, total, lock, turns):
    value = b"x" * 200
    for _ in range(turns):
        shared["s"] = value


def call(shared, total, lock, turns):
    for _ in range(turns):
        total.add(1)


LOOPS = {"get": get, "set": put, "increment": increment, "text": text,
         "call": call}


def main():
    loop = LOOPS[sys.argv[1]]
    Manager.register("dict", dict, DictProxy)
    Manager.register("Total", Total, exposed=["add"])
    manager = Manager(ctx=get_context("fork"))
    manager.start()
    shared, total, lock = manager.dict(), manager.Total(), Lock()
    shared["n"] = 0
    loop(shared, total, lock, TURNS // 10)
    begun = time.perf_counter()
    loop(shared, total, lock, TURNS)
    print((time.perf_counter() - begun) / TURNS * 1e6)
    manager.shutdown()


if __name__ == "__main__":
    main()
