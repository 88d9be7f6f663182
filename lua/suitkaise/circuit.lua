--- circuit: stop calling what fails, and let it recover.
-- @module suitkaise.circuit
-- @usage local breaker = sk.Circuit{ num_shorts_to_trip = 3,
--   sleep_time_after_trip = 0, recovery_time = 10 }
-- local page = breaker:call(fetch, url)

local callers = require "suitkaise.circuit.call"
local each = require "suitkaise.each"
local clock = require "suitkaise.sktime.clock"
local computed_fields = require "suitkaise.computed"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"
local random = require "suitkaise.circuit.random"
local registry = require "suitkaise.cerial.registry"
local state = require "suitkaise.circuit.state"
local views = require "suitkaise.views"

local circuit = {}

local SPEC = {
  num_shorts_to_trip = { type = "integer", min = 1, default = 5 },
  sleep_time_after_trip = { type = "number", min = 0, default = 1 },
  backoff_factor = { type = "number", min = 1, default = 1 },
  max_sleep_time = { type = "number", min = 0, default = 30 },
  jitter = { type = "number", min = 0, default = 0 },
  auto_reset = { type = "boolean", default = false },
  recovery_time = "number",
  consecutive = { type = "boolean", default = false },
  only = "function",
  on_trip = "function",
  on_reset = "function",
}

local FINITE = { "num_shorts_to_trip", "sleep_time_after_trip",
                 "backoff_factor", "max_sleep_time" }

local function refuse(name, value, expected)
  errors.argument("Circuit", name, value, expected, "caller")
end

local function check(given)
  local checked = options.check("Circuit", given, SPEC, "caller")
  for _, name in ipairs(FINITE) do
    if checked[name] == math.huge then
      refuse(name, checked[name], "a finite number")
    end
  end
  if checked.jitter > 1 then
    refuse("jitter", checked.jitter, "a number from 0 to 1")
  end
  local recovery = checked.recovery_time
  if recovery and not (recovery > 0 and recovery < math.huge) then
    refuse("recovery_time", recovery, "a number of seconds above 0")
  end
  if recovery and checked.auto_reset then
    refuse("recovery_time", recovery, "nil with auto_reset, which closes the "
      .. "circuit without a call that tries")
  end
  return checked
end

local function describe(self)
  return string.format("Circuit: %s, %d of %d shorts, %d trips", self.state,
                       self.times_shorted, self.num_shorts_to_trip,
                       self.total_trips)
end

-- Loaded by the first who wants it: a view of a circuit whose sleeps yield.
local yielding

local function asynced(self)
  yielding = yielding or views.over("Circuit view",
    require "suitkaise.async.circuit"._shared_local)
  return yielding(self)
end

local function make_class(parts)
  local now = parts.now
  local Circuit = { __name = "Circuit", __tostring = describe }
  local computed, set_once = state.computed, state.options

  function Circuit.__index(self, key)
    local method = Circuit[key]
    if method ~= nil then return method end
    local compute = computed[key] or set_once[key]
    if compute then return compute(self, now) end
    return nil
  end

  for name, method in each(state.methods) do Circuit[name] = method end
  -- In a Share those above run in the coordinator, and these where they are
  -- called, with the proxy as `self`.
  local calling = callers(Circuit, parts, asynced)
  for name, method in each(calling) do Circuit[name] = method end
  Circuit._shared_meta = state.shared_meta
  Circuit._shared_local = calling
  calling.__newindex = computed_fields(Circuit, computed, set_once)

  local function new(_, given)
    return setmetatable(state.new(check(given)), Circuit)
  end
  return setmetatable(Circuit, { __call = new })
end

local PARTS = {
  sleep = "function", now = "function", random = "function",
  pcall = "function",
}

--- A class of circuits that sleep in another way (yield, in a coroutine), or
-- have another clock or another source of random numbers.
-- @tparam table parts what replaces what: `sleep(seconds)`, `now() ->
--   seconds`, `random() -> 0 to 1`, `pcall`
-- @treturn table like @{Circuit}
-- @raise ArgumentError
-- @usage local Quick = sk.circuit.with{ sleep = function() end }
-- local breaker = Quick{ num_shorts_to_trip = 2 }
function circuit.with(parts)
  local checked = options.check("with", parts, PARTS, "caller")
  return make_class {
    sleep = checked.sleep or clock.sleep, now = checked.now or clock.now,
    random = checked.random or random, pcall = checked.pcall or pcall,
  }
end

--- Make a circuit. See doc/circuit.md.
-- Fields: `broken`, `times_shorted`, `total_trips`, `total_failures`,
-- `current_sleep_time` (of the next trip), `state` ("closed", "open",
-- "half-open"), `retry_in`.
-- @function Circuit
-- @tparam[opt] table opts
-- @tparam[opt=5] int opts.num_shorts_to_trip failures that trip it
-- @tparam[opt=1] number opts.sleep_time_after_trip seconds
-- @tparam[opt=1] number opts.backoff_factor each trip multiplies the sleep
-- @tparam[opt=30] number opts.max_sleep_time seconds
-- @tparam[opt=0] number opts.jitter 0.2: up to a fifth more or less
-- @tparam[opt=false] boolean opts.auto_reset closed again after the sleep
-- @tparam[opt] number opts.recovery_time seconds after a trip until one call
--   is let through
-- @tparam[opt=false] boolean opts.consecutive a good call forgets the
--   failures before it
-- @tparam[opt] function opts.only gets an error: does it count?
-- @tparam[opt] function opts.on_trip gets the circuit and the seconds
-- @tparam[opt] function opts.on_reset gets the circuit
-- @treturn Circuit
-- @raise ArgumentError
-- @usage local breaker = sk.Circuit{ num_shorts_to_trip = 3,
--                             sleep_time_after_trip = 0,
--                             recovery_time = 10 }
circuit.Circuit = circuit.with()

registry.add("suitkaise.circuit:Circuit", circuit.Circuit)

return circuit
