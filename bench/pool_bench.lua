-- Pool beside Python's multiprocessing.Pool and ProcessPoolExecutor, luv's work
-- queue, threads of cqueues, lanes and bare forks.
-- Two workers everywhere, workers started before the clock, every result
-- reaches the caller. The one-millisecond task is the same loop on all sides
-- of a comparison.

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
local core = require "suitkaise.core"
local measure = require "measure"
local sk = require "suitkaise"

ffi.cdef [[
int fork(void);
void _exit(int);
int waitpid(int, int *, int);
]]

local ROUNDS = 7

local function numbers(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

local function same(x) return x end

local function one_ms(n)
  local x = n
  for _ = 1, 114000 do x = (x * 16807) % 2147483647 end
  return x
end

local padding = (" "):rep(99992)
local function payload(i) return ("%08d"):format(i) .. padding end

local function python(name)
  return function()
    return measure.program("python3 bench/pool/peer.py " .. name)
  end
end

-- A figure of a program of threads, of lanes or cqueues.
local function threads(library, what)
  return function()
    return measure.program(
      ("luajit bench/pool/%s_peer.lua %s"):format(library, what))
  end
end

-- Seconds of a map on a warm pool.
local function timed_map(options, fn, items)
  options.workers = 2
  local pool = sk.Pool(options)
  pool:map(same, numbers(100))
  local seconds = measure.time(pool.map, pool, fn, items)
  pool:close()
  return seconds
end

-- ---- no-op items ----

local many = numbers(100000)

measure.report("map of 100,000 no-op items", "M/s", measure.in_turn({
  { "ours", function() return 0.1 / timed_map({}, same, many) end },
  { "Python Pool(2).map", python "noop" },
  { "Python ProcessPoolExecutor(2)", python "executor.noop" },
  { "luv work queue", function()
    return measure.program(
      "UV_THREADPOOL_SIZE=2 luajit bench/pool/luv_peer.lua")
  end },
  { "two threads of cqueues", threads("cqueues", "noop") },
  { "two lanes", threads("lanes", "noop") },
}, ROUNDS), "at least 1 against the fastest")

measure.report("map of no-op items, chunk = 1", "M/s", measure.in_turn({
  { "ours", function() return 0.1 / timed_map({ chunk = 1 }, same, many) end },
  { "Python Pool(2).map chunksize=1", python "chunk1" },
}, ROUNDS), "at least 10")

-- ---- work of a millisecond ----

local few = numbers(400)

local function work_all(first, last)
  for i = first, last do one_ms(i) end
end

local function alone() return measure.time(work_all, 1, 400) end

local function bare_fork(fn, ...)
  local pid = ffi.C.fork()
  if pid == 0 then
    fn(...)
    ffi.C._exit(0)
  end
  return pid
end

local function two_forks()
  local a = bare_fork(work_all, 1, 200)
  local b = bare_fork(work_all, 201, 400)
  ffi.C.waitpid(a, nil, 0)
  ffi.C.waitpid(b, nil, 0)
end

-- As threads, from the seconds that they take.
local function speed_up(library)
  local seconds = threads(library, "one_ms")
  return function()
    local taken = seconds()
    return taken and alone() / taken
  end
end

alone()
measure.report("speed-up of 400 tasks of 1 ms", "times", measure.in_turn({
  { "ours", function() return alone() / timed_map({}, one_ms, few) end },
  { "two bare forks", function()
    return alone() / measure.time(two_forks)
  end },
  { "Python Pool(2).map", python "one_ms" },
  { "Python ProcessPoolExecutor(2)", python "executor.one_ms" },
  { "two threads of cqueues", speed_up "cqueues" },
  { "two lanes", speed_up "lanes" },
}, ROUNDS), "at least 0.97 of two bare forks")

-- ---- results of 100 KB ----

measure.report("400 results of 100 KB", "GB/s", measure.in_turn({
  { "ours", function() return 0.04 / timed_map({}, payload, few) end },
  { "Python Pool(2).map", python "payload" },
  { "Python ProcessPoolExecutor(2)", python "executor.payload" },
  { "two threads of cqueues", threads("cqueues", "payload") },
  { "two lanes", threads("lanes", "payload") },
}, ROUNDS), "1.5 GB/s")

-- ---- a process for each item ----

local some = numbers(500)

-- One after the other in each of two processes, as the workers do it.
local function fork_each(n)
  for _ = 1, n do
    ffi.C.waitpid(bare_fork(function() end), nil, 0)
  end
end

local function fork_all()
  local a, b = bare_fork(fork_each, 250), bare_fork(fork_each, 250)
  ffi.C.waitpid(a, nil, 0)
  ffi.C.waitpid(b, nil, 0)
end

measure.report("isolate: a no-op item", "us", measure.in_turn({
  { "ours", function()
    return timed_map({ isolate = true }, same, some) / #some * 1e6
  end },
  { "a bare fork and waitpid", function()
    return measure.time(fork_all) / #some * 1e6
  end },
  { "Python Pool(2), maxtasksperchild=1", python "isolate" },
}, ROUNDS), "near 1 against bare forks")

-- ---- start and stop ----

local function median_us(fn, times)
  local list = {}
  for i = 1, times do list[i] = measure.time(fn) * 1e6 end
  return measure.median(list)
end

local function nothing() end

measure.report("start and stop of a Pool of 2", "us", measure.in_turn({
  { "ours", function()
    return median_us(function() sk.Pool{ workers = 2 }:close() end, 50)
  end },
  { "two bare forks", function()
    return median_us(function()
      local a, b = bare_fork(nothing), bare_fork(nothing)
      ffi.C.waitpid(a, nil, 0)
      ffi.C.waitpid(b, nil, 0)
    end, 50)
  end },
  { "Python Pool(2)", python "start" },
}, ROUNDS), "under 3 against two bare forks")

-- ---- memory ----

local function private_kb(pid)
  local file = io.open("/proc/" .. pid .. "/smaps_rollup")
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "Private_Dirty:%s+(%d+)")
end

local pool = sk.Pool{ workers = 2 }
pool:map(one_ms, few)
print "memory of a worker that it does not share"
for pid in pairs((function()
  local pids = {}
  for _, pid in ipairs(pool:map(core.getpid, numbers(50))) do pids[pid] = 1 end
  return pids
end)()) do
  print(string.format("  worker %-27d %11d KB", pid, private_kb(pid)))
end
print "  asked: under 4096 KB"
pool:close()
