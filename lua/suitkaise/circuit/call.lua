--- Circuit: breaks after so many failures, and lets everybody wait.
--
-- Fields: `broken`, `state` ("closed", "open", "half-open"), `retry_in`
-- (seconds until a call may pass; nil when only a reset helps),
-- `times_shorted`, `total_trips`, `total_failures`, `current_sleep_time` (of
-- the next trip). @{suitkaise.circuit.Circuit} makes one.
-- @classmod suitkaise.circuit.call
-- @usage local page = breaker:call(fetch, url)

-- Here is what a caller does: sleep, call, raise, tell the user's hooks.
-- `self` is a circuit or what stands for one in a Share; see state.lua.

local errors = require "suitkaise.errors"

local is_number = function(n) return type(n) == "number" end

local function method_of(self) return self.apply_short end

local function check_self(self, name)
  local kind = type(self)
  if kind == "table" or kind == "userdata" then
    local ok, method = pcall(method_of, self)
    if ok and method ~= nil then return end
  end
  errors.argument("Circuit:" .. name, "self", self,
                  "a Circuit (call it with a colon)", "caller")
end

local function check_sleep(name, custom_sleep)
  if custom_sleep == nil then return end
  if not is_number(custom_sleep)
     or not (custom_sleep >= 0 and custom_sleep < math.huge) then
    errors.argument("Circuit:" .. name, "custom_sleep", custom_sleep,
                    "a finite number of seconds of at least 0", "caller")
  end
end

local function refuse(self, retry_in)
  local when = "; reset it to use it again"
  if retry_in then
    when = ("; the next call may pass in %.3g s"):format(retry_in)
  end
  errors.raise("CircuitBrokenError", {
    message = "Circuit:call: the circuit is broken" .. when,
    circuit = self, retry_in = retry_in, total_trips = self._total_trips,
  }, "caller")
end

-- -> the methods, which sleep by parts.sleep, tell the time by parts.now, draw
-- by parts.random and call by parts.pcall. `class` is that of most circuits;
-- `yielding(self)` a view of one that sleeps in tasks.
return function(class, parts, yielding)
  local sleep, now, random = parts.sleep, parts.now, parts.random
  local protected = parts.pcall
  local methods = {}

  local function after_reset(self)
    local on_reset = self._on_reset
    if on_reset then on_reset(self) end
  end

  -- After a change at `moment` that asks for `seconds` of sleep, or not.
  local function after_trip(self, seconds, moment)
    if not seconds then return false end
    local on_trip = self._on_trip
    if on_trip then on_trip(self, seconds) end
    if seconds > 0 then sleep(seconds) end
    if self._auto_reset and self:apply_wake(moment + seconds) then
      after_reset(self)
    end
    return true
  end

  --- Count a failure. After num_shorts_to_trip of them the circuit trips.
  -- @tparam[opt] number custom_sleep seconds, instead of the circuit's own
  -- @treturn boolean did it trip? Then it has slept
  -- @raise ArgumentError
  -- @function Circuit:short
  -- @usage if breaker:short() then print "tripped" end
  function methods:short(custom_sleep)
    if getmetatable(self) ~= class then check_self(self, "short") end
    check_sleep("short", custom_sleep)
    local moment = now()
    return after_trip(self, self:apply_short(custom_sleep, moment, random()),
                      moment)
  end

  --- Break it at once, and sleep.
  -- @tparam[opt] number custom_sleep seconds, instead of the circuit's own
  -- @treturn boolean true
  -- @raise ArgumentError
  -- @function Circuit:trip
  -- @usage breaker:trip(0)
  function methods:trip(custom_sleep)
    if getmetatable(self) ~= class then check_self(self, "trip") end
    check_sleep("trip", custom_sleep)
    local moment = now()
    return after_trip(self, self:apply_trip(custom_sleep, moment, random()),
                      moment)
  end

  --- Close it, and count from zero. The backoff stays as it is.
  -- @function Circuit:reset
  -- @usage breaker:reset()
  function methods:reset()
    if getmetatable(self) ~= class then check_self(self, "reset") end
    if self:apply_reset(now()) then after_reset(self) end
  end

  --- The next trip sleeps as long as the first.
  -- @function Circuit:reset_backoff
  -- @usage breaker:reset_backoff()
  function methods:reset_backoff()
    if getmetatable(self) ~= class then check_self(self, "reset_backoff") end
    self:apply_reset_backoff()
  end

  --- Yield the running task instead of blocking it: in `short`, `trip` and
  -- `call`. Outside of tasks they block.
  -- @function Circuit:asynced
  -- @usage breaker:asynced():call(fetch, url)
  -- @treturn Circuit a view of the same circuit
  function methods:asynced()
    if getmetatable(self) ~= class then check_self(self, "asynced") end
    return yielding(self)
  end

  -- A number while this call is the one that tries.
  local function admit(self)
    local moment = now()
    local pass = self:apply_probe(moment)
    if not pass then refuse(self, self.retry_in) end
    return pass
  end

  local function after_good(self, pass)
    if is_number(pass) then
      if self:apply_outcome(pass, true, now(), 0) then after_reset(self) end
    elseif self._consecutive and self._times_shorted > 0 then
      self:apply_success()
    end
  end

  local function after_bad(self, pass, err)
    local only = self._only
    if only and not only(err) then return after_good(self, pass) end
    local moment, draw = now(), random()
    local seconds = is_number(pass)
      and self:apply_outcome(pass, false, moment, draw)
      or not is_number(pass) and self:apply_short(nil, moment, draw)
    after_trip(self, seconds, moment)
  end

  local function finish(self, pass, ok, ...)
    if ok then
      if pass or self._consecutive then after_good(self, pass) end
      return ...
    end
    after_bad(self, pass, (...))
    error((...), 0)
  end

  --- Call a function unless the circuit is broken, and count its errors as
  -- shorts. With a recovery_time one call is let through after that time, and
  -- decides: the circuit closes, or trips again.
  -- @tparam function fn
  -- @param ... for it
  -- @return what it returns
  -- @raise CircuitBrokenError (`circuit`, `retry_in`: seconds, nil when only
  --   a reset helps; `total_trips`) while it is broken; else what fn raises,
  --   as it is
  -- @function Circuit:call
  -- @usage local page = breaker:call(fetch, url)
  function methods:call(fn, ...)
    if getmetatable(self) ~= class then check_self(self, "call") end
    if type(fn) ~= "function" then
      local meta = getmetatable(fn)
      if type(meta) ~= "table" or not meta.__call then
        errors.argument("Circuit:call", "fn", fn, "a function", "caller")
      end
    end
    return finish(self, self.broken and admit(self), protected(fn, ...))
  end

  return methods
end
