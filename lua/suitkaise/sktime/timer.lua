--- Timer: measures, and knows the statistics of what it measured.
--
-- Statistics are fields: `num_times`, `total_time`, `total_time_paused` (0
-- before the first time), `most_recent`, `most_recent_index`, `mean`,
-- `median`, `min`, `max`, `fastest_time`, `fastest_index`, `slowest_time`,
-- `slowest_index` (nil before it), `variance`, `stdev` (of the sample: nil
-- before the second) and `times`, a copy. With `max_times` all are of the
-- times that are kept.
-- @classmod suitkaise.sktime.timer
-- @usage local timer = sk.sktime.Timer{ max_times = 100 }
-- timer:start()
-- parse(file)
-- print(timer:stop(), timer.mean)

local each = require "suitkaise.each"
local clock = require "suitkaise.sktime.clock"
local computed_fields = require "suitkaise.computed"
local errors = require "suitkaise.errors"
local is = require "suitkaise.is"
local open = require "suitkaise.sktime.open"
local options = require "suitkaise.options"
local statistics = require "suitkaise.sktime.statistics"

local now = clock.now
local HUGE = math.huge

local Timer = { __name = "Timer" }

local SPEC = { max_times = { type = "integer", min = 1 } }

-- ---- statistics: fields that are computed when they are read ----

local computed = {
  num_times = statistics.count,
  total_time = statistics.sum,
  total_time_paused = statistics.paused,
  mean = statistics.mean,
  variance = statistics.variance,
  times = statistics.times,
}

function computed.stdev(self)
  local variance = statistics.variance(self)
  return variance and math.sqrt(variance)
end

function computed.median(self)
  return statistics.percentile(self, 50)
end

function computed.min(self)
  return (statistics.fastest(self))
end

function computed.max(self)
  return (statistics.slowest(self))
end

function computed.fastest_index(self)
  return (select(2, statistics.fastest(self)))
end

function computed.slowest_index(self)
  return (select(2, statistics.slowest(self)))
end

function computed.most_recent(self)
  return statistics.get(self, statistics.count(self))
end

function computed.most_recent_index(self)
  local n = statistics.count(self)
  return n > 0 and n or nil
end

computed.fastest_time = computed.min
computed.slowest_time = computed.max

local set_once = {
  max_times = function(self) return self._max_times or nil end,
}

function Timer.__index(self, key)
  local method = Timer[key]
  if method ~= nil then return method end
  local compute = computed[key] or set_once[key]
  if compute then return compute(self) end
  return nil
end

-- ---- life ----

local function new(_, given)
  local checked = options.check("Timer", given, SPEC, "caller")
  local self = { _max_times = checked.max_times
                   and math.floor(checked.max_times) or false }
  statistics.clear(self)
  return setmetatable(self, Timer)
end

-- Something that times can be added to: a Timer, one of a class below it, or
-- what stands for a Timer that lives elsewhere.
local function add_time_of(value)
  return value.add_time
end

local function is_timer(value)
  if getmetatable(value) == Timer or is(value, Timer) then return true end
  if type(value) ~= "table" and type(value) ~= "userdata" then return false end
  local ok, method = pcall(add_time_of, value)
  return ok and method ~= nil
end

Timer._is = is_timer

-- Refuse what is no timer.
function Timer._check(value, fname, argument)
  if not is_timer(value) then
    errors.argument(fname, argument, value, "a Timer", "caller")
  end
end

local function check_self(self, name)
  if not is_timer(self) then
    errors.argument("Timer:" .. name, "self", self,
                    "a Timer (call it with a colon)", "caller")
  end
end

local function nothing_open(name)
  errors.raise("Error", {
    message = "Timer:" .. name .. ": nothing was started in this coroutine",
  }, "caller")
end

-- ---- measuring ----
-- These run where they are called, on whatever is given as `self`: a Timer in
-- a Share gets its times by add_time, the one method that has to travel.

--- Begin a measurement. Inside another one it is nested: stop ends the
-- innermost. Each coroutine of each process has measurements of its own.
-- @treturn Timer itself
-- @usage timer:start()
function Timer:start()
  if getmetatable(self) ~= Timer then
    check_self(self, "start")
    open.hold(self)
  end
  open.start(self)
  return self
end

--- End the innermost measurement and keep its time.
-- @treturn number seconds, without the pauses
-- @raise Error when nothing was started
-- @usage local seconds = timer:stop()
function Timer:stop()
  local at = now()
  local is_foreign = getmetatable(self) ~= Timer
  if is_foreign then check_self(self, "stop") end
  local seconds, paused = open.stop(self, at)
  if not seconds then nothing_open("stop") end
  if is_foreign then
    open.release(self)
    self:add_time(seconds, paused)
  else
    statistics.add(self, seconds, paused)
  end
  return seconds
end

--- Keep the time since the start, or since the last lap, and go on.
-- @treturn number seconds, without the pauses
-- @raise Error when nothing was started
-- @usage for _, file in ipairs(files) do parse(file) timer:lap() end
function Timer:lap()
  local at = now()
  if getmetatable(self) ~= Timer then check_self(self, "lap") end
  local seconds, paused = open.lap(self, at)
  if not seconds then nothing_open("lap") end
  self:add_time(seconds, paused)
  return seconds
end

--- Leave out what comes now. Pausing twice is pausing once.
-- @raise Error when nothing was started
-- @usage timer:pause()
-- wait_for_user()
-- timer:resume()
function Timer:pause()
  local at = now()
  if getmetatable(self) ~= Timer then check_self(self, "pause") end
  if not open.pause(self, at) then nothing_open("pause") end
end

--- Measure again after a pause; without one, do nothing.
-- @raise Error when nothing was started
-- @usage timer:resume()
function Timer:resume()
  local at = now()
  if getmetatable(self) ~= Timer then check_self(self, "resume") end
  if not open.resume(self, at) then nothing_open("resume") end
end

--- End the innermost measurement and forget it.
-- @treturn number the seconds that are not kept
-- @raise Error when nothing was started
-- @usage if not is_found then timer:discard() end
function Timer:discard()
  local at = now()
  local is_foreign = getmetatable(self) ~= Timer
  if is_foreign then check_self(self, "discard") end
  local seconds = open.stop(self, at)
  if not seconds then nothing_open("discard") end
  if is_foreign then open.release(self) end
  return seconds
end

-- ---- state: what a Timer in a Share does in the coordinator ----

local SECONDS = "a finite number of seconds of at least 0"

local function is_seconds(value)
  return type(value) == "number" and value >= 0 and value < HUGE
end

--- Keep a time that was measured elsewhere.
-- @tparam number seconds
-- @tparam[opt=0] number paused seconds that it was paused
-- @raise ArgumentError
-- @usage timer:add_time(response.seconds)
function Timer:add_time(seconds, paused)
  if getmetatable(self) ~= Timer then check_self(self, "add_time") end
  if not is_seconds(seconds) then
    errors.argument("Timer:add_time", "seconds", seconds, SECONDS, "caller")
  end
  if paused == nil then
    paused = 0
  elseif not is_seconds(paused) then
    errors.argument("Timer:add_time", "paused", paused, SECONDS, "caller")
  end
  statistics.add(self, seconds + 0.0, paused + 0.0) -- never integers
end

--- Forget all times, and what this process has open.
-- @usage timer:reset()
function Timer:reset()
  if getmetatable(self) ~= Timer then check_self(self, "reset") end
  open.forget(self)
  statistics.clear(self)
end

-- ---- more to read ----

--- The time below which p percent of the times are, interpolated.
-- @tparam number p 0 to 100
-- @treturn ?number seconds; nil before the first time
-- @raise ArgumentError
-- @usage print(timer:percentile(95))
function Timer:percentile(p)
  check_self(self, "percentile")
  if type(p) ~= "number" or not (p >= 0 and p <= 100) then
    errors.argument("Timer:percentile", "p", p, "a number from 0 to 100",
                    "caller")
  end
  return statistics.percentile(self, p)
end

--- One of the kept times.
-- @tparam int i 1 is the oldest that is kept
-- @treturn ?number seconds; nil when there is none of that number
-- @raise ArgumentError
-- @usage print(timer:get_time(timer.fastest_index))
function Timer:get_time(i)
  check_self(self, "get_time")
  if type(i) ~= "number" or i ~= math.floor(i) then
    errors.argument("Timer:get_time", "i", i, "a whole number", "caller")
  end
  return statistics.get(self, i)
end

--- All statistics, and the times, in a table of their own.
-- @treturn table
-- @usage local all = timer:statistics()
function Timer:statistics()
  check_self(self, "statistics")
  local all = {}
  for name, compute in each(computed) do all[name] = compute(self) end
  return all
end

local function has_write(out)
  local ok, write = pcall(function() return out.write end)
  return ok and write ~= nil
end

--- Print the statistics and a histogram.
-- @param[opt=io.stdout] out where to: anything with a method `write`
-- @treturn string what was printed
-- @raise ArgumentError; Error when it cannot be written
-- @usage timer:report(io.stderr)
function Timer:report(out)
  check_self(self, "report")
  if out == nil then out = io.stdout end
  if not has_write(out) then
    errors.argument("Timer:report", "out", out, "something with a method "
                    .. "`write`", "caller")
  end
  local text = require "suitkaise.sktime.report"(self)
  local ok, why = out:write(text, "\n")
  if ok == nil and why then
    errors.raise("Error", {
      message = "Timer:report: cannot write it: " .. tostring(why),
    }, "caller")
  end
  return text
end

--- Draw the distribution as an SVG picture.
-- @tparam[opt] string path the file to write; nil: none
-- @tparam[opt] table opts
-- @tparam[opt="Timer"] string opts.title
-- @treturn string the picture
-- @raise ArgumentError; Error when the file cannot be written
-- @usage timer:to_svg("parse.svg", { title = "parse" })
function Timer:to_svg(path, opts)
  check_self(self, "to_svg")
  if path ~= nil and type(path) ~= "string" then
    errors.argument("Timer:to_svg", "path", path, "a string", "caller")
  end
  local checked = options.check("Timer:to_svg", opts, {
    title = { type = "string", default = "Timer" },
  }, "caller")
  local picture = require "suitkaise.sktime.svg"(self, checked.title)
  if not path then return picture end
  local file, why = io.open(path, "wb")
  local ok = file
  if file then
    ok, why = file:write(picture)
    if ok then ok, why = file:close() else file:close() end
  end
  if not ok then
    errors.raise("Error", {
      message = "Timer:to_svg: cannot write the picture: " .. tostring(why),
    }, "caller")
  end
  return picture
end

function Timer:__tostring()
  local n = statistics.count(self)
  if n == 0 then return "Timer: no times" end
  return string.format("Timer: %d times, mean %s", n,
    require "suitkaise.sktime.units".show(statistics.mean(self)))
end

-- ---- for Share ----

local STATE = {
  "_count", "_times", "_pauses", "_sum", "_carry", "_mean", "_squares",
  "_min_slot", "_max_slot", "_paused", "_block_before",
}
local READS = { "_max_times", (table.unpack or unpack)(STATE) }

-- What runs in the coordinator.
Timer._shared_meta = {
  methods = {
    add_time = { reads = READS, writes = STATE, returns = false },
    reset = { reads = {}, writes = STATE, returns = false },
    percentile = { reads = READS, writes = {}, returns = true },
    get_time = { reads = READS, writes = {}, returns = true },
    statistics = { reads = READS, writes = {}, returns = true },
  },
  properties = {},
}
for name in each(computed) do
  Timer._shared_meta.properties[name] = { reads = READS }
end

-- What runs where it is called, with the proxy as `self`: measuring, which
-- reaches the coordinator by add_time, and what is long or for people, on a
-- copy.
Timer._shared_local = {}
for _, name in ipairs { "start", "stop", "lap", "pause", "resume",
                        "discard" } do
  Timer._shared_local[name] = Timer[name]
end
for _, name in ipairs { "percentile", "statistics", "report", "to_svg" } do
  Timer._shared_local[name] = function(proxy, ...)
    local timer = require "suitkaise.access".snapshot(proxy)
    return timer[name](timer, ...)
  end
end

function Timer._shared_local.reset(proxy)
  open.forget(proxy)
  require "suitkaise.access".call(proxy, "reset")
end

Timer._shared_local.__newindex = computed_fields(Timer, computed, set_once)

return setmetatable(Timer, { __call = new })
