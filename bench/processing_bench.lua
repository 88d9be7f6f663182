-- Skprocess beside what its parts cost by themselves: bare forks, a pipe, a
-- socket pair of the same process image.

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
local core = require "suitkaise.core"
local measure = require "measure"
local sk = require "suitkaise"

ffi.cdef [[
int fork(void);
void _exit(int);
int waitpid(int, int *, int);
int pipe(int *);
int socketpair(int, int, int, int *);
int close(int);
long read(int, void *, unsigned long);
long write(int, const void *, unsigned long);
]]

local C = ffi.C
local ROUNDS = 7

local function median_us(fn, times)
  local list = {}
  for i = 1, times do list[i] = measure.time(fn) * 1e6 end
  return measure.median(list)
end

-- ---- start, run, result, reaped ----

local Empty = sk.Skprocess:extend "Empty"
function Empty:init() self.config.runs = 1 end
function Empty.__run__() end
function Empty.__result__() return 1 end

local byte = ffi.new("char[1]")

local function fork_and_pipe()
  local ends = ffi.new("int[2]")
  C.pipe(ends)
  local pid = C.fork()
  if pid == 0 then
    C.write(ends[1], byte, 1)
    C._exit(0)
  end
  C.read(ends[0], byte, 1)
  C.waitpid(pid, nil, 0)
  C.close(ends[0])
  C.close(ends[1])
end

local empty = Empty()
local limited = Empty()
limited.config.timeouts.run = 5

for _ = 1, 20 do empty:run() limited:run() fork_and_pipe() end

measure.report("start, an empty run, result, reaped", "us", measure.in_turn({
  { "ours", function() return median_us(function() empty:run() end, 300) end },
  { "fork, pipe, waitpid", function()
    return median_us(fork_and_pipe, 300)
  end },
}, ROUNDS), "at most 1.5")

measure.report("the same with a limit: under a monitor", "us",
               measure.in_turn({
  { "ours", function()
    return median_us(function() limited:run() end, 200)
  end },
  { "fork, pipe, waitpid", function()
    return median_us(fork_and_pipe, 200)
  end },
}, ROUNDS), "two forks instead of one")

-- ---- tell to listen and back ----

local Echo = sk.Skprocess:extend "Echo"
function Echo:__run__()
  for _ = 1, 1000 do
    local value, why = self:listen()
    if why then return end
    self:tell(value)
  end
end

local TRIPS = 20000

local function round_trips()
  local p = Echo()
  p:start()
  local function trip(n)
    for i = 1, n do
      p:tell(i)
      p:listen()
    end
  end
  trip(1000)
  local seconds = measure.time(trip, TRIPS)
  p:kill()
  return seconds / TRIPS * 1e6
end

local function socket_trips()
  local ends = ffi.new("int[2]")
  C.socketpair(1, 1, 0, ends)
  local pid = C.fork()
  if pid == 0 then
    C.close(ends[0])
    while C.read(ends[1], byte, 1) == 1 do C.write(ends[1], byte, 1) end
    C._exit(0)
  end
  local function trip(n)
    for _ = 1, n do
      C.write(ends[0], byte, 1)
      C.read(ends[0], byte, 1)
    end
  end
  trip(1000)
  local seconds = measure.time(trip, TRIPS)
  C.close(ends[0])
  C.close(ends[1])
  C.waitpid(pid, nil, 0)
  return seconds / TRIPS * 1e6
end

measure.report("tell to listen and back", "us", measure.in_turn({
  { "ours", round_trips },
  { "a byte over a socket pair", socket_trips },
}, ROUNDS), "at most 3 us")

-- ---- one way ----

local MESSAGES = 300000
local text = ("m"):rep(64)

local Sink = sk.Skprocess:extend "Sink"
function Sink:init() self.config.runs = 1 end
function Sink:__run__()
  for _ = 1, MESSAGES do self:listen() end
  self:tell "all"
end

local function stream()
  local p = Sink()
  p:start()
  local seconds = measure.time(function()
    for _ = 1, MESSAGES do p:tell(text) end
    p:listen()
  end)
  p:wait()
  return MESSAGES / seconds / 1e6
end

measure.report("messages of 64 bytes, one way", "M/s", measure.in_turn({
  { "ours", stream },
}, ROUNDS), "at least 2")

-- ---- a limit that is not reached ----

local RUNS = 20000
local Sections = sk.Skprocess:extend "Sections"
function Sections:init(limit)
  self.config.runs = RUNS
  -- under a monitor in either case
  self.config.lives, self.config.timeouts.run = 2, limit
end
function Sections:__prerun__() self.begun = self.begun or core.now() end
function Sections.__run__() end
function Sections:__result__() return core.now() - self.begun end

local function section_us(limit)
  return Sections(limit):run() / RUNS * 1e6
end

local figures = { with = {}, without = {} }
for i = 1, ROUNDS do
  figures.with[i], figures.without[i] = section_us(5), section_us(nil)
end
local with = measure.median(figures.with)
local without = measure.median(figures.without)
print "a limit that is not reached"
print(string.format("  %-34s %11.2f us", "a run with one", with))
print(string.format("  %-34s %11.2f us", "a run without", without))
print(string.format("  %-34s %11.2f us   asked: at most 2", "the limit",
                    with - without))
