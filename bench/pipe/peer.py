"""Python's multiprocessing.Pipe: one figure, named by the argument."""
import multiprocessing
import sys
import time

TRIPS = 20000
MESSAGES = 100000


def echo(end):
    while True:
        value = end.recv()
        if value is None:
            return
        end.send(value)


def sink(end):
    for _ in range(MESSAGES):
        end.recv()
    end.send(None)


def timed(fn):
    begun = time.perf_counter()
    fn()
    return time.perf_counter() - begun


def trips(end, n):
    for i in range(n):
        end.send(i)
        end.recv()


def stream(end):
    text = b"m" * 64
    for _ in range(MESSAGES):
        end.send(text)
    end.recv()


def figure(name):
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    body = echo if name == "trip" else sink
    child = context.Process(target=body, args=(there,))
    child.start()
    if name == "trip":
        trips(here, 1000)
        result = timed(lambda: trips(here, TRIPS)) / TRIPS * 1e6
        here.send(None)
    else:
        result = MESSAGES / timed(lambda: stream(here)) / 1e6
    child.join()
    return result


if __name__ == "__main__":
    print(figure(sys.argv[1]))
