-- async beside what it is made of: bare coroutines, luv's own timers, and the
-- blocking face of a Pool.

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"
local sk = require "suitkaise"

local async = sk.async

local ROUNDS = 9

-- ---- a switch between tasks ----

local SWITCHES = 1000000

local function bare()
  local co = coroutine.create(function()
    while true do coroutine.yield() end
  end)
  local resume = coroutine.resume
  local seconds = measure.time(function()
    for _ = 1, SWITCHES do resume(co) end
  end)
  return seconds / SWITCHES * 1e9
end

local function switch()
  local function turn()
    for _ = 1, SWITCHES / 2 do async.sleep(0) end
  end
  return async.run(function()
    local a, b = async.spawn(turn), async.spawn(turn)
    return measure.time(function() async.gather(a, b) end) / SWITCHES * 1e9
  end)
end

measure.report("switch between two tasks", "ns", measure.in_turn({
  { "ours", switch },
  { "bare resume and yield", bare },
}, ROUNDS), "at most 3 times a bare resume and yield")

-- ---- many sleeps ----

-- Each in a program of its own: nobody collects the garbage of another.
local function sleeps(who)
  return function()
    return measure.program("luajit bench/async/sleeps.lua " .. who)
  end
end

measure.report("10,000 sleeps of 10 ms", "ms", measure.in_turn({
  { "ours", sleeps "ours" },
  { "raw luv timers", sleeps "timers" },
  { "a coroutine on each luv timer", sleeps "coroutines" },
}, 5), "at most 1.5 times raw luv timers")

-- ---- memory ----

local function memory(arguments)
  return function()
    return measure.program("luajit bench/async/memory.lua " .. arguments)
  end
end

measure.report("memory of a sleeping task, as Lua counts", "bytes",
  measure.in_turn({
    { "ours", memory "ours lua" },
    { "coroutine on a luv timer", memory "luv lua" },
  }, 3), "under 1200 bytes")
measure.report("memory of a sleeping task, as the system counts", "bytes",
  measure.in_turn({
    { "ours", memory "ours" },
    { "coroutine on a luv timer", memory "luv" },
  }, 3))

-- ---- a Pool's results ----

local CALLS = 1000

local function same(x) return x end

local function median_call(pool)
  local list, items = {}, { 1 }
  for i = 1, CALLS do
    list[i] = 1e6 * measure.time(pool.map, pool, same, items)
  end
  return measure.median(list)
end

local function blocking_call()
  local pool = sk.Pool{ workers = 1 }
  local us = median_call(pool)
  pool:close()
  return us
end

local function yielding_call()
  return async.run(function()
    local pool = async.Pool{ workers = 1 }
    local us = median_call(pool)
    pool:close()
    return us
  end)
end

measure.report("map of one no-op item, there and back", "us",
  measure.in_turn({
    { "ours", yielding_call },
    { "the blocking face", blocking_call },
  }, ROUNDS), "at most 30 us more than the blocking face")

-- ---- a Pool in the midst of much else ----

local function loaded_call()
  return async.run(function()
    local pool = async.Pool{ workers = 1 }
    for _ = 1, 1000 do
      async.spawn(function()
        while true do async.sleep(0.05) end
      end)
    end
    local us = median_call(pool)
    pool:close()
    return us
  end)
end

measure.report("the same beside 1,000 tasks that sleep 50 ms each", "us",
  measure.in_turn({
    { "ours", loaded_call },
    { "the blocking face", blocking_call },
  }, 3))

-- ---- a Share ----

local ACCESSES = 5000

local function share_rounds(share, round)
  share.n = 0
  share:flush()
  return 1e6 * measure.time(function()
    for i = 1, ACCESSES do round(share, i) end
  end) / ACCESSES
end

local function blocking_share(round)
  return function()
    local share = sk.Share()
    local us = share_rounds(share, round)
    share:stop()
    return us
  end
end

local function yielding_share(round)
  return function()
    return async.run(function()
      local share = async.Share()
      local us = share_rounds(share, round)
      share:stop()
      return us
    end)
  end
end

local function compare_share(what, round)
  measure.report("Share: " .. what, "us", measure.in_turn({
    { "ours", yielding_share(round) },
    { "the blocking face", blocking_share(round) },
  }, ROUNDS))
end

compare_share("a fresh read", function(share) return share.n end)
compare_share("a write and a read of it", function(share, i)
  share.n = i
  assert(share.n == i)
end)
compare_share("increment, there and back", function(share)
  sk.increment(share, "n")
end)

-- ---- a process ----

local function echo_of(Skprocess)
  local Echo = Skprocess:extend "Echo"
  function Echo:__run__()
    local value = self:listen()
    if value then self:tell(value) end
  end
  return Echo
end

local function talk(Echo)
  local p, list = Echo(), {}
  p:start()
  for i = 1, CALLS do
    list[i] = 1e6 * measure.time(function()
      p:tell(i)
      p:listen()
    end)
  end
  p:stop()
  p:wait()
  return measure.median(list)
end

measure.report("tell and listen, there and back", "us", measure.in_turn({
  { "ours", function()
    return async.run(talk, echo_of(async.Skprocess))
  end },
  { "the blocking face", function() return talk(echo_of(sk.Skprocess)) end },
}, ROUNDS))

-- ---- a Pipe ----

local function echo_point(point)
  local value = point:recv()
  while value ~= "end" do
    point:send(value)
    value = point:recv()
  end
end

-- A process that echoes, and the trips to it and back.
local function pipe_trips(Skprocess, face)
  local anchor, point = sk.Pipe.pair()
  local Echo = Skprocess:extend "Echo"
  function Echo:init() self.point, self.config.runs = point, 1 end
  function Echo:__run__() echo_point(face(self.point)) end
  local p, list, here = Echo(), {}, face(anchor)
  p:start()
  for i = 1, CALLS do
    list[i] = 1e6 * measure.time(function()
      here:send(i)
      here:recv()
    end)
  end
  here:send "end"
  p:wait()
  anchor:close()
  return measure.median(list)
end

measure.report("Pipe: there and back", "us", measure.in_turn({
  { "ours", function()
    return async.run(pipe_trips, async.Skprocess, function(e)
      return e:asynced()
    end)
  end },
  { "the blocking face", function()
    return pipe_trips(sk.Skprocess, function(e) return e end)
  end },
}, ROUNDS))

-- ---- cerial in slices ----

local records = {}
for i = 1, 20000 do records[i] = { id = i, name = "n" .. i, x = i / 3 } end
local bytes = sk.cerial.serialize(records)

-- Milliseconds of fn(argument) in a task, and of processor time the longest
-- between two turns of another.
local function sliced(fn, argument)
  return async.run(function()
    local longest, last, is_over = 0, os.clock(), false
    async.spawn(function()
      while not is_over do
        async.sleep(0)
        local now = os.clock()
        longest, last = math.max(longest, now - last), now
      end
    end)
    async.sleep(0)
    local ms = 1000 * measure.time(fn, argument)
    async.sleep(0)
    is_over = true
    return ms, 1000 * longest
  end)
end

local function compare_cerial(what, ours, plain, argument)
  local longest = {}
  measure.report("cerial: " .. what .. " 20,000 records", "ms",
    measure.in_turn({
      { "ours", function()
        local ms, gap = sliced(ours, argument)
        longest[#longest + 1] = gap
        return ms
      end },
      { "in one go", function()
        return 1000 * measure.time(plain, argument)
      end },
    }, ROUNDS))
  print(string.format("  %-34s %11.4g ms", "longest without other tasks",
                      measure.median(longest)))
end

compare_cerial("write", async.cerial.serialize, sk.cerial.serialize, records)
compare_cerial("read", async.cerial.deserialize, sk.cerial.deserialize, bytes)
