--- sktime: clocks, sleep, and timers that know their statistics.
-- @module suitkaise.sktime
-- @usage local timer = sk.sktime.Timer()
-- for _, file in ipairs(files) do
--   timer:start()
--   parse(file)
--   timer:stop()
-- end
-- timer:report()

local each = require "suitkaise.each"
local clock = require "suitkaise.sktime.clock"
local errors = require "suitkaise.errors"
local is = require "suitkaise.is"
local open = require "suitkaise.sktime.open"
local registry = require "suitkaise.cerial.registry"
local Timer = require "suitkaise.sktime.timer"

local now = clock.now
local HUGE = math.huge

local sktime = {}

-- ---- checks ----

local function check_number(fname, argument, value, min, expected)
  if type(value) ~= "number" or not (value >= min and value < HUGE)
     or value == -HUGE then
    errors.argument(fname, argument, value, expected, "caller")
  end
end

local SECONDS = "a finite number of seconds of at least 0"
local MOMENT = "a finite number of seconds"

local function is_callable(value)
  local meta = getmetatable(value)
  return type(value) == "function"
    or type(meta) == "table" and type(meta.__call) == "function"
end

local function check_callable(fname, argument, value)
  if not is_callable(value) then
    errors.argument(fname, argument, value, "a function", "caller")
  end
end

-- ---- clock and sleep ----

--- Seconds since 1970, with a fraction. The clock on the wall can be set
-- back; to measure, use a Timer.
-- @treturn number
-- @usage local began = sk.sktime.time()
function sktime.time()
  return clock.time()
end

--- Sleep. Signals do not end it early, but for Ctrl-C.
-- @tparam number seconds
-- @treturn number @{time} afterwards
-- @raise ArgumentError
-- @usage sk.sktime.sleep(0.1)
function sktime.sleep(seconds)
  check_number("sktime.sleep", "seconds", seconds, 0, SECONDS)
  clock.sleep(seconds)
  return clock.time()
end

--- Seconds between two moments of @{time}, in either order.
-- @tparam number t1
-- @tparam[opt=now] number t2
-- @treturn number at least 0
-- @raise ArgumentError
-- @usage print(sk.sktime.elapsed(began))
function sktime.elapsed(t1, t2)
  check_number("sktime.elapsed", "t1", t1, -HUGE, MOMENT)
  if t2 == nil then
    t2 = clock.time()
  else
    check_number("sktime.elapsed", "t2", t2, -HUGE, MOMENT)
  end
  return math.abs(t2 - t1)
end

-- ---- Timer ----

--- Make a timer. See doc/sktime.md for its methods and statistics.
-- @function Timer
-- @tparam[opt] table opts
-- @tparam[opt] int opts.max_times keep only the last so many times
-- @treturn Timer
-- @raise ArgumentError
sktime.Timer = Timer
sktime.Sktimer = Timer

registry.add("suitkaise.sktime:Timer", Timer)

-- ---- Yawn ----

local Yawn = { __name = "Yawn" }
Yawn.__index = Yawn

--- Make something that sleeps on every nth call.
-- @function Yawn
-- @tparam number seconds
-- @tparam int yawns n
-- @tparam[opt] function sleep what sleeps: another one in a coroutine, say
-- @treturn function-like object: the call returns whether it slept;
--   `yawn.count` calls were made since it did; `yawn:reset()`
-- @raise ArgumentError
-- @usage local yawn = sk.sktime.Yawn(0.1, 5)
-- while not is_done() do yawn() end
local function new_yawn(_, seconds, yawns, sleep)
  check_number("Yawn", "seconds", seconds, 0, SECONDS)
  local count = "a whole number of at least 1"
  check_number("Yawn", "yawns", yawns, 1, count)
  if yawns ~= math.floor(yawns) then
    errors.argument("Yawn", "yawns", yawns, count, "caller")
  end
  if sleep ~= nil then check_callable("Yawn", "sleep", sleep) end
  return setmetatable({ seconds = seconds, yawns = yawns, count = 0,
                        sleep = sleep }, Yawn)
end

local function check_yawn(self, method)
  if not is(self, Yawn) then
    errors.argument("Yawn:" .. method, "self", self,
                    "a Yawn (call it with a colon)", "caller")
  end
end

local function count_call(self, sleep)
  self.count = self.count + 1
  if self.count < self.yawns then return false end
  self.count = 0
  sleep(self.seconds)
  return true
end

function Yawn:__call()
  return count_call(self, self.sleep or clock.sleep)
end

-- Made by the first who wants it: a view that yields.
local yielding

local function make_yielding()
  local wait = require "suitkaise.async.wait"
  return require "suitkaise.views".over("Yawn view", {
    __call = function(self) return count_call(self, wait.asynced.sleep) end,
  })
end

--- Yield the running task instead of blocking it.
-- @treturn Yawn a view of the same one
-- @usage local yawn = sk.sktime.Yawn(0.01, 100):asynced()
function Yawn:asynced()
  check_yawn(self, "asynced")
  yielding = yielding or make_yielding()
  return yielding(self)
end

--- Count from the beginning.
-- @usage yawn:reset()
function Yawn:reset()
  check_yawn(self, "reset")
  self.count = 0
end

registry.add("suitkaise.sktime:Yawn", Yawn)
sktime.Yawn = setmetatable(Yawn, { __call = new_yawn })

-- ---- TimeThis ----

-- What TimeThis() returns: the timer, and the block that it measures.
local Block = { __name = "TimeThis" }

for name, method in each(Timer) do
  if type(method) == "function" and not name:find "^_" then
    Block[name] = function(self, ...)
      return method(rawget(self, "timer"), ...)
    end
  end
end

function Block.__index(self, key)
  local method = Block[key]
  if method ~= nil then return method end
  local timer = rawget(self, "timer")
  return timer and timer[key]
end

local function leave(self, at)
  local seconds, paused = open.leave(rawget(self, "block"), at)
  local timer = rawget(self, "timer")
  if getmetatable(timer) ~= Timer then open.release(timer) end
  return seconds, paused
end

-- The end of `local t <close> = TimeThis()`.
function Block:__close(err)
  local at = now()
  local seconds, paused = leave(self, at)
  if seconds and err == nil then self.timer:add_time(seconds, paused) end
end

local function enter(timer)
  if getmetatable(timer) ~= Timer then open.hold(timer) end
  return setmetatable({ timer = timer, block = open.enter(timer) }, Block)
end

local function finish_block(block, ok, ...)
  local at = now()
  local timer = rawget(block, "timer")
  local seconds, paused = leave(block, at)
  if not ok then error((...), 0) end
  if seconds then timer:add_time(seconds, paused) end
  return timer, ...
end

-- A pcall in which a task can wait, in Lua 5.1 too.
local function protected(...)
  if not package.loaded["suitkaise.async.loop"] then return pcall(...) end
  return require "suitkaise.async.wait".here().pcall(...)
end

--- Time one block of code. It is not kept when the block raises.
-- With a function: call it with the timer, so that it can pause, and return
-- the timer and the function's results. Without one: begin a block that ends
-- with the variable in Lua 5.4, elsewhere by its method `stop`; the object has
-- the timer's methods and statistics.
-- @tparam[opt] function fn
-- @tparam[opt] Timer timer a new one if left out; may be the first argument
-- @treturn Timer or the block
-- @raise ArgumentError; what the function raises, as it is
-- @usage local timer = sk.sktime.TimeThis(function() build() end)
-- print(timer.most_recent)
-- @usage local t <close> = sk.sktime.TimeThis(timer)
function sktime.TimeThis(fn, timer)
  if timer == nil and Timer._is(fn) then fn, timer = nil, fn end
  if fn ~= nil then check_callable("TimeThis", "fn", fn) end
  if timer == nil then
    timer = Timer()
  else
    Timer._check(timer, "TimeThis", "timer")
  end
  if fn == nil then return enter(timer) end
  return finish_block(enter(timer), protected(fn, timer))
end

-- ---- timethis ----

local global_timers = setmetatable({}, { __mode = "k" }) -- function -> timer

local Timed = { __name = "timethis" }
Timed.__index = Timed

-- Nothing is open meanwhile, so there is nothing to undo when fn raises or
-- its coroutine is left: no pcall, and a traceback that shows fn.
local function finish_call(timer, began, ...)
  timer:add_time(now() - began)
  return ...
end

function Timed.__call(self, ...)
  return finish_call(self.timer, now(), self.fn(...))
end

registry.add("suitkaise.sktime:Timed", Timed)
sktime.Timed = Timed -- for those who look it up by its name

--- Make a function that times each call of another. Calls that raise are not
-- kept.
-- @tparam function fn
-- @tparam[opt] Timer timer; if left out, the same one whenever this function
--   is wrapped again
-- @treturn function-like object with the field `timer`
-- @raise ArgumentError
-- @usage parse = sk.sktime.timethis(parse)
-- for line in io.lines() do parse(line) end
-- print(parse.timer.mean)
function sktime.timethis(fn, timer)
  check_callable("timethis", "fn", fn)
  if timer == nil then
    timer = global_timers[fn] or Timer()
    global_timers[fn] = timer
  else
    Timer._check(timer, "timethis", "timer")
  end
  return setmetatable({ fn = fn, timer = timer }, Timed)
end

--- Reset and forget the timers that @{timethis} made by itself.
-- @usage sk.sktime.clear_global_timers()
function sktime.clear_global_timers()
  for _, timer in each(global_timers) do timer:reset() end
  global_timers = setmetatable({}, { __mode = "k" })
end

return sktime
