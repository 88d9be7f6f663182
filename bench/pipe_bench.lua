-- Pipe beside a socket pair, a pipe of the system and Python's Pipe, each
-- between two processes of this program.

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
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
local TRIPS = 20000
local MESSAGES = 500000

local function python(name)
  return function()
    return measure.program("python3 bench/pipe/peer.py " .. name)
  end
end

-- A process that does fn(point) once, and then the rest with the anchor here.
local function with_peer(options, fn, rest)
  local anchor, point = sk.Pipe.pair(options)
  local Peer = sk.Skprocess:extend "Peer"
  function Peer:init() self.config.runs = 1 end
  function Peer.__run__() fn(point) end
  local p = Peer()
  p:start()
  local figure = rest(anchor)
  anchor:close()
  p:wait()
  return figure
end

-- ---- there and back ----

local function echo(point)
  local value = point:recv()
  while value ~= "end" do
    point:send(value)
    value = point:recv()
  end
end

local function trips(anchor)
  local function go(n)
    for i = 1, n do
      anchor:send(i)
      anchor:recv()
    end
  end
  go(1000)
  local seconds = measure.time(go, TRIPS)
  anchor:send "end"
  return seconds / TRIPS * 1e6
end

local byte = ffi.new("char[1]")

local function socket_trips()
  local ends = ffi.new("int[2]")
  C.socketpair(1, 1, 0, ends)
  local pid = C.fork()
  if pid == 0 then
    C.close(ends[0])
    while C.read(ends[1], byte, 1) == 1 do C.write(ends[1], byte, 1) end
    C._exit(0)
  end
  local function go(n)
    for _ = 1, n do
      C.write(ends[0], byte, 1)
      C.read(ends[0], byte, 1)
    end
  end
  go(1000)
  local seconds = measure.time(go, TRIPS)
  C.close(ends[0])
  C.close(ends[1])
  C.waitpid(pid, nil, 0)
  return seconds / TRIPS * 1e6
end

measure.report("a number there and back", "us", measure.in_turn({
  { "ours", function() return with_peer({}, echo, trips) end },
  { "a byte over a socket pair", socket_trips },
  { "Python Pipe", python "trip" },
}, ROUNDS), "at most 3 us")

-- ---- one way ----

local text = ("m"):rep(64)

local function sink(point)
  for _ = 1, MESSAGES do point:recv() end
  point:send "all"
end

local function stream(anchor)
  return MESSAGES / measure.time(function()
    for _ = 1, MESSAGES do anchor:send(text) end
    anchor:recv()
  end) / 1e6
end

local buffer = ffi.new("char[64]")

local function pipe_stream()
  local ends = ffi.new("int[2]")
  C.pipe(ends)
  local pid = C.fork()
  if pid == 0 then
    C.close(ends[1])
    while C.read(ends[0], buffer, 64) > 0 do end
    C._exit(0)
  end
  C.close(ends[0])
  local seconds = measure.time(function()
    for _ = 1, MESSAGES do C.write(ends[1], buffer, 64) end
    C.close(ends[1])
    C.waitpid(pid, nil, 0)
  end)
  return MESSAGES / seconds / 1e6
end

measure.report("messages of 64 bytes, one way", "M/s", measure.in_turn({
  { "ours", function() return with_peer({}, sink, stream) end },
  { "write and read of 64 bytes", pipe_stream },
  { "Python Pipe", python "stream" },
}, ROUNDS), "at least 2")

-- ---- making one ----

measure.report("a pair made and closed", "us", measure.in_turn({
  { "ours", function()
    local n = 200
    local seconds = measure.time(function()
      for _ = 1, n do
        local anchor, point = sk.Pipe.pair()
        anchor:close()
        point:close()
      end
      collectgarbage()
    end)
    return seconds / n * 1e6
  end },
}, ROUNDS), "nothing")
