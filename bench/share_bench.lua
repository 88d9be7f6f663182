-- A Share beside the peers that can be had here and the limits of the machine.
-- What is asked of it is said with each figure. A peer that is not installed
-- is "not here".

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
local core = require "suitkaise.core"
local measure = require "measure"
local own = require "share.own"
local sk = require "suitkaise"

ffi.cdef [[
int fork(void);
void _exit(int);
int waitpid(int, int *, int);
int kill(int, int);
]]

local ROUNDS = tonumber(os.getenv "ROUNDS") or 5
local build = assert(package.searchpath("suitkaise.core", package.cpath))
  :gsub("/luajit/suitkaise/core%.so$", "")
local kept

-- ---- contenders ----

local function python(what)
  return { "Python Manager, us", function()
    return measure.program("timeout 60 python3 bench/share/peer.py " .. what)
  end }
end

local function redis(what)
  return { "Redis, unix socket, LuaJIT, us", function()
    return measure.program(("command -v redis-server >/dev/null && timeout 60 "
      .. "tools/with-lua luajit '%s' bench/share/redis_peer.lua %s")
      :format(build, what))
  end }
end

local function lmdb(what)
  return { "LMDB in C, no sync, us", function()
    return measure.program(("%s/bench/lmdb_peer %s"):format(build, what))
  end }
end

-- Medians of rounds; peers' microseconds as `unit` of ours (1: us, 1000: ns).
local function compare(title, unit, contenders, asked, rounds)
  local figures = measure.in_turn(contenders, rounds or ROUNDS)
  local shown = {}
  for name, value in pairs(figures) do
    local plain = name:gsub(", us$", "")
    shown[plain] = plain ~= name and unit == "ns" and value * 1000 or value
  end
  for _, contender in ipairs(contenders) do
    local plain = contender[1]:gsub(", us$", "")
    if not shown[plain] then print(plain .. ": not here, left out") end
  end
  measure.report(title, unit, shown, asked)
end

-- ---- making one ----

local function making_ms(first_use)
  local list = {}
  for i = 1, 20 do
    local made
    list[i] = measure.time(function()
      made = sk.Share()
      if not first_use then return end
      made.n = 1
      kept = made.n
    end) * 1000
    made:stop()
  end
  return measure.median(list)
end

compare("making a Share", "ms", {
  { "ours", making_ms },
  { "with its first write and read", function() return making_ms(true) end },
}, "under 5 ms", 3)

-- ---- what is measured on ----

local Total = {}
Total.__index = Total

function Total:add(x) self.n = self.n + x end
function Total:get() return self.n end

local share = own.share()
share.n = 1
share.object = setmetatable({ n = 0, name = "x" }, Total)
share.t = {}
share:flush()
local object = share.object
local text = ("x"):rep(200)

local loops = {
  empty = function(n) for i = 1, n do kept = i end end,
  read = function(n) for _ = 1, n do kept = share.n end end,
  field = function(n) for _ = 1, n do kept = object.n end end,
  number = function(n) for i = 1, n do share.n = i end end,
  text = function(n) for _ = 1, n do share.s = text end end,
  method = function(n) for _ = 1, n do object:add(1) end end,
  by_name = function(n) for _ = 1, n do share.object:add(1) end end,
}

-- ---- reading ----

local word = ffi.new "volatile int64_t[1]"

local function each_ns(loop, n)
  return function() return measure.time(loop, n) / n * 1e9 end
end

compare("read of an unchanged value in a LuaJIT loop", "ns", {
  { "ours", each_ns(loops.read, 2e7) },
  { "an object's field", each_ns(loops.field, 2e7) },
  { "the empty loop", each_ns(loops.empty, 2e7) },
  { "a load through FFI", each_ns(function(n)
    for _ = 1, n do kept = word[0] end
  end, 2e7) },
  python "get", redis "get", lmdb "get",
}, "at most 10 ns")

-- System calls of a program that reads so many times.
local function calls_of(reads)
  local file = os.tmpname()
  os.execute(("strace -f -c -o %s tools/with-lua luajit '%s' "
    .. "bench/share/reads.lua %d >/dev/null 2>&1"):format(file, build, reads))
  local calls
  for line in io.lines(file) do
    calls = line:match "^%s*100[%d.]*%s+%S+%s+%S*%s+(%d+)%s.*total" or calls
  end
  os.remove(file)
  return tonumber(calls)
end

local few, many = calls_of(10), calls_of(1e7)
if few and many then
  print(("system calls of a program that reads 10 times: %d; 10,000,000 times"
    .. ": %d"):format(few, many))
  print "  asked: nothing pending is checked by plain loads"
else
  print "strace: not here, left out"
end

-- ---- counting ----

local counter = sk.Counter()

local function add_apart(n)
  local ready, seconds = sk.Counter(), sk.Counter()
  for cpu = 0, 1 do
    if ffi.C.fork() == 0 then
      own.pin(0, cpu)
      ready:increment()
      while ready.value < 2 do end
      local taken = measure.time(function()
        for _ = 1, n do counter:increment() end
      end)
      seconds:increment(math.floor(n / taken))
      ffi.C._exit(0)
    end
  end
  ffi.C.waitpid(-1, nil, 0)
  ffi.C.waitpid(-1, nil, 0)
  return seconds.value / 1e6
end

compare("counter:increment() in a LuaJIT loop", "ns", {
  { "ours", each_ns(function(n)
    for _ = 1, n do counter:increment() end
  end, 2e7) },
}, "at most 10 ns")

compare("two processes that increment one Counter", "M/s", {
  { "ours", function() return add_apart(1e7) end },
  { "two C programs, atomic_fetch_add", function()
    return measure.program(build .. "/bench/two_atomic 10000000")
  end },
}, "at least 0.8 of the C programs")

compare("sk.increment(share, \"n\"), the median one", "us", {
  { "ours", function()
    return own.single_us(share, function() sk.increment(share, "n") end,
                         20000)
  end },
  python "increment", redis "increment", lmdb "increment",
}, "at most 2 us warm")

-- ---- writing ----

local function writing(title, loop, piece, n, peers, asked)
  local contenders = {
    { "ours", function() return own.queued_ns(share, loop, piece, 50) end },
    { "applied, until the last one", function()
      return own.applied_ns(share, loop, n)
    end },
    { "processor time of the writer", function()
      return (own.processor_ns(share, loop, n))
    end },
    { "processor time of the coordinator", function()
      return (select(2, own.processor_ns(share, loop, n)))
    end },
  }
  for _, peer in ipairs(peers) do contenders[#contenders + 1] = peer end
  compare(title .. ", queued", "ns", contenders, asked)
end

writing("share.n = i", loops.number, 2000, 5e5,
        { python "set", redis "set", lmdb "set" }, "at most 250 ns")
writing("share.s = 200 bytes", loops.text, 500, 5e5,
        { python "text", redis "pipeline" },
        "2 million a second queued and applied: 500 ns")
writing("object:method(x) without a result", loops.method, 1000, 2e5,
        { python "call" }, "300,000 a second applied: 3333 ns")
writing("share.object:method(x)", loops.by_name, 1000, 2e5, {},
        "300,000 a second applied: 3333 ns")

compare("write, then read it back, the median one", "us", {
  { "ours", function()
    return own.single_us(share, function(i)
      share.n = i
      kept = share.n
    end, 20000)
  end },
}, "at most 2 us while the coordinator is warm")

compare("object:method() with a result, the median one", "us", {
  { "ours", function()
    return own.single_us(share, function() kept = object:get() end, 20000)
  end },
  python "call",
}, "at most 5 us warm")

-- ---- tables of any size ----

local SIZES = { 10, 1000, 100000, 1000000 }
local WRITES = 3e5

local function in_sequence(t, size)
  return function(n) for i = 1, n do t[i % size + 1] = i end end
end

local function at_random(t, size)
  local r = 1
  return function(n)
    for i = 1, n do
      r = (r * 16807) % 2147483647
      t[r % size + 1] = i
    end
  end
end

local function both(figures, kind, size, run)
  local name = ("%s, %d entries"):format(kind, size)
  figures[name] = figures[name] or {}
  table.insert(figures[name], run())
end

-- A share with a table `t` of that size, and a plain table like it.
local function filled(size)
  local made, plain = own.share(), {}
  made.t = {}
  for i = 1, size do
    made.t[i] = i
    plain[i] = i
  end
  made:flush()
  return made, plain
end

local figures = {}

-- Random writes come last: they scatter what lay in sequence.
local function writes_to(size)
  local made, plain = filled(size)
  for _, way in ipairs { { "sequence", in_sequence },
                         { "random", at_random } } do
    local kind, make = way[1], way[2]
    local ours, lua = make(made.t, size), make(plain, size)
    both(figures, kind .. ", ours", size, function()
      return (select(2, own.processor_ns(made, ours, WRITES)))
    end)
    both(figures, kind .. ", ours applied", size, function()
      return own.applied_ns(made, ours, WRITES)
    end)
    both(figures, kind .. ", plain table", size, function()
      return measure.time(lua, WRITES * 10) / WRITES * 1e8
    end)
  end
  made:stop()
end

for _ = 1, ROUNDS do
  for _, size in ipairs(SIZES) do writes_to(size) end
end

print "share.t[k] = v: ns a write (ours: of the coordinator's processor)"
for _, kind in ipairs { "sequence", "random" } do
  for _, side in ipairs { "ours", "ours applied", "plain table" } do
    local line, first = {}, nil
    for _, size in ipairs(SIZES) do
      local name = ("%s, %s, %d entries"):format(kind, side, size)
      local value = measure.median(figures[name])
      first = first or value
      line[#line + 1] = ("%d: %.0f (%.2f)"):format(size, value, value / first)
    end
    print(("  %-24s %s"):format(kind .. ", " .. side,
                                table.concat(line, "  ")))
  end
end
print "  asked: in sequence within 1.5; at random what a plain table loses"

local full = filled(1000000)

local function count_entries()
  local n = 0
  for _ in sk.pairs(full.t) do n = n + 1 end
  assert(n == 1000000)
end

compare("iteration of a million entries", "s", {
  { "ours", function() return measure.time(count_entries) end },
  { "processor time of it", function()
    local before = own.cpu_ns(core.getpid())
    count_entries()
    return (own.cpu_ns(core.getpid()) - before) / 1e9
  end },
}, "under 1 s")
full:stop()

-- ---- life ----

local function restart_ms()
  local pid = share.coordinator_pid
  share.n = 0
  share:flush()
  local begun = measure.now()
  ffi.C.kill(pid, 9)
  share.n = 1
  assert(share.n == 1)
  return (measure.now() - begun) * 1000
end

local function medians(fn, times)
  local list = {}
  for i = 1, times do
    list[i] = fn()
    while not share.coordinator_pid do end
  end
  return measure.median(list)
end

share.t = {}
share:flush()
compare("from SIGKILL of the coordinator to the next write seen", "ms", {
  { "ours", function() return medians(restart_ms, 30) end },
}, "median of 30 under 50 ms", 1)

-- The keeper is the coordinator's parent.
local function parent_of(pid)
  local file = io.open(("/proc/%d/stat"):format(pid))
  local line = file:read "*a"
  file:close()
  return tonumber(line:match "%) %a (%d+)")
end

local pid = share.coordinator_pid
local keeper = parent_of(pid)
sk.Flag():wait(0.2)
local before = own.cpu_ns(pid) + own.cpu_ns(keeper)
sk.Flag():wait(5)
print(("an idle Share: %.3f ms of processor in 5 s, coordinator and keeper")
  :format((own.cpu_ns(pid) + own.cpu_ns(keeper) - before) / 1e6))
print "  asked: none"

local function crowd(processes, each)
  share.n = 0
  share:flush()
  local taken = measure.time(function()
    for _ = 1, processes do
      if ffi.C.fork() == 0 then
        for _ = 1, each do sk.increment(share, "n") end
        ffi.C._exit(0)
      end
    end
    for _ = 1, processes do ffi.C.waitpid(-1, nil, 0) end
  end)
  assert(share.n == processes * each)
  return processes * each / taken
end

compare("63 other processes that increment one number", "/s", {
  { "ours", function() return crowd(63, 200) end },
}, "64 processes can use one", 3)

assert(kept ~= 0.5)
share:stop()
