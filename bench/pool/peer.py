"""Python's multiprocessing.Pool(2), and ProcessPoolExecutor(2) of
concurrent.futures: one figure, named by the argument."""
import concurrent.futures
import multiprocessing
import sys
import time


def same(x):
    return x


def one_ms(x):
    x += 1
    for _ in range(11000):
        x = (x * 16807) % 2147483647
    return x


PADDING = bytes(99992)


def payload(i):
    return b"%08d" % i + PADDING


def timed(fn):
    begun = time.perf_counter()
    fn()
    return time.perf_counter() - begun


def executor_figure(name, context):
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        run = lambda fn, n, size: list(pool.map(fn, range(n), chunksize=size))
        run(same, 1000, 100)
        if name == "noop":
            return 0.1 / timed(lambda: run(same, 100000, 12500))
        if name == "payload":
            return 0.04 / timed(lambda: run(payload, 400, 1))
        if name == "one_ms":
            alone = timed(lambda: [one_ms(i) for i in range(400)])
            return alone / timed(lambda: run(one_ms, 400, 50))
    raise SystemExit("unknown figure " + name)


def figure(name):
    context = multiprocessing.get_context("fork")
    if name.startswith("executor."):
        return executor_figure(name[len("executor."):], context)
    if name == "start":
        context.Pool(2).terminate()
        return timed(lambda: context.Pool(2).terminate()) * 1e6
    if name == "isolate":
        with context.Pool(2, maxtasksperchild=1) as pool:
            run = lambda: pool.map(same, range(200), chunksize=1)
            return timed(run) / 200 * 1e6
    with context.Pool(2) as pool:
        pool.map(same, range(1000))
        if name == "noop":
            return 0.1 / timed(lambda: pool.map(same, range(100000)))
        if name == "chunk1":
            run = lambda: pool.map(same, range(20000), chunksize=1)
            return 0.02 / timed(run)
        if name == "payload":
            run = lambda: pool.map(payload, range(400), chunksize=1)
            return 0.04 / timed(run)
        if name == "one_ms":
            alone = timed(lambda: [one_ms(i) for i in range(400)])
            return alone / timed(lambda: pool.map(one_ms, range(400)))
    raise SystemExit("unknown figure " + name)


if __name__ == "__main__":
    print(figure(sys.argv[1]))
