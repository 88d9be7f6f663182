-- The seam between what a circuit is and what a caller does about it.
--
-- This file is the state: every change is one of these methods. They read and
-- write plain fields, never sleep, never call a user's function, ask no clock
-- and draw no random number: the caller passes the moment (monotonic seconds,
-- the same for all processes of the machine) and the draw (0 to 1). So they
-- may run elsewhere, once, in any process: in the coordinator of a Share.
-- What sleeps, calls and raises is in call.lua; it runs in the caller and
-- reaches the state by these methods and by reads only, and so works on a
-- proxy as on the circuit itself.
--
-- A caller that dies in its sleep or in its probe holds nobody up: the moment
-- at which the circuit closes again, and the end of the probe's turn, are in
-- the state.

local each = require "suitkaise.each"

local state = {}

local COUNTS = { "times_shorted", "total_trips", "total_failures",
                 "current_sleep_time" }
local OPTIONS = {
  "num_shorts_to_trip", "sleep_time_after_trip", "backoff_factor",
  "max_sleep_time", "jitter", "auto_reset", "recovery_time", "consecutive",
  "only", "on_trip", "on_reset",
}

-- The next trip sleeps as long as the first.
local function reset_backoff(circuit)
  circuit._current_sleep_time = math.min(circuit._sleep_time_after_trip,
                                         circuit._max_sleep_time)
end

--- The fields that change, as they are at first.
function state.clear(circuit)
  circuit._is_broken = false
  circuit._close_at = false -- auto_reset: closed by itself from then
  circuit._retry_at = false -- recovery_time: a call is let through from then
  circuit._probe = false    -- the turn of the call that was, by its end
  circuit._times_shorted = 0
  circuit._total_trips = 0
  circuit._total_failures = 0
  reset_backoff(circuit)
end

local function close(circuit)
  circuit._is_broken = false
  circuit._close_at, circuit._retry_at, circuit._probe = false, false, false
  circuit._times_shorted = 0
end

-- What happened by itself since anybody looked.
local function catch_up(circuit, moment)
  local close_at = circuit._close_at
  if close_at and moment >= close_at then close(circuit) end
end

-- The sleep of this trip, and a longer one for the next.
local function next_sleep(circuit, draw)
  local seconds = circuit._current_sleep_time
  circuit._current_sleep_time = math.min(seconds * circuit._backoff_factor,
                                         circuit._max_sleep_time)
  return seconds * (1 + circuit._jitter * (2 * draw - 1))
end

-- -> how long the caller is to sleep
local function break_it(circuit, custom_sleep, moment, draw)
  local seconds = next_sleep(circuit, draw)
  if custom_sleep then seconds = custom_sleep end
  local recovery = circuit._recovery_time
  circuit._is_broken = true
  circuit._close_at = circuit._auto_reset and moment + seconds
  circuit._retry_at = recovery and moment + recovery or false
  circuit._probe = false
  circuit._times_shorted = 0
  circuit._total_trips = circuit._total_trips + 1
  return seconds
end

-- ---- the changes ----

state.methods = {}
local methods = state.methods

--- Count a failure. -> seconds to sleep when that trips it, else false
function methods:apply_short(custom_sleep, moment, draw)
  catch_up(self, moment)
  self._total_failures = self._total_failures + 1
  self._times_shorted = self._times_shorted + 1
  if self._times_shorted < self._num_shorts_to_trip then return false end
  return break_it(self, custom_sleep, moment, draw)
end

--- Trip it. -> seconds to sleep
function methods:apply_trip(custom_sleep, moment, draw)
  self._total_failures = self._total_failures + 1
  return break_it(self, custom_sleep, moment, draw)
end

--- Close it. -> was it broken?
function methods:apply_reset(moment)
  catch_up(self, moment)
  local was_broken = self._is_broken
  close(self)
  return was_broken
end

--- The end of the sleep of a trip, for auto_reset: `moment` is when the sleep
-- was to end. -> is it closed now because of that? Not after a later trip.
function methods:apply_wake(moment)
  local close_at = self._close_at
  if not close_at or close_at > moment then return false end
  close(self)
  return true
end

--- May a call pass while it is broken? -> true: it is closed by now; a number:
-- yes, as the probe whose turn this is; false: no.
function methods:apply_probe(moment)
  catch_up(self, moment)
  if not self._is_broken then return true end
  local retry_at = self._retry_at
  if not retry_at or moment < retry_at then return false end
  if self._probe and moment < self._probe then return false end
  self._probe = moment + self._recovery_time
  return self._probe
end

--- What became of a probe. -> true: the circuit is closed; seconds to sleep:
-- it tripped again; false: somebody else decided meanwhile.
function methods:apply_outcome(probe, is_good, moment, draw)
  if not is_good then self._total_failures = self._total_failures + 1 end
  if not self._is_broken or self._probe ~= probe then return false end
  if not is_good then return break_it(self, nil, moment, draw) end
  close(self)
  reset_backoff(self)
  return true
end

--- A call was good: with `consecutive`, failures before it do not count.
function methods:apply_success()
  if not self._is_broken then self._times_shorted = 0 end
end

--- The next trip sleeps as long as the first.
function methods:apply_reset_backoff()
  reset_backoff(self)
end

-- ---- what is computed from it ----
-- These get the clock and not the moment: most circuits are closed, and then
-- nobody needs to know the time.

local function is_broken(circuit, now)
  if not circuit._is_broken then return false end
  local close_at = circuit._close_at
  return not (close_at and now() >= close_at)
end

-- Seconds until a call may pass; nil when only a reset helps.
local function retry_in(circuit, now)
  if not is_broken(circuit, now) then return 0 end
  local at = circuit._close_at or circuit._probe or circuit._retry_at
  if not at then return nil end
  return math.max(at - now(), 0)
end

local function name_of(circuit, now)
  if not is_broken(circuit, now) then return "closed" end
  local retry_at = circuit._retry_at
  return retry_at and now() >= retry_at and "half-open" or "open"
end

state.computed = { broken = is_broken, retry_in = retry_in, state = name_of }

-- What the user reads under its name lies under another: so that it is never
-- assigned past what it is computed from, and an option never unchecked.
local function show_fields(names, fields)
  for _, name in ipairs(names) do
    local key = "_" .. name
    fields[name] = function(circuit) return circuit[key] end
  end
end

show_fields(COUNTS, state.computed)
state.options = {}
show_fields(OPTIONS, state.options)

--- A new circuit's fields.
-- @tparam table options that were checked
function state.new(options)
  local circuit = {}
  for _, name in ipairs(OPTIONS) do circuit["_" .. name] = options[name] end
  state.clear(circuit)
  return circuit
end

-- ---- for Share: what reads and writes what in the coordinator ----

local CHANGING = { "_is_broken", "_close_at", "_retry_at", "_probe" }
for _, name in ipairs(COUNTS) do CHANGING[#CHANGING + 1] = "_" .. name end

local function make_shared_meta()
  local all = {}
  for _, name in ipairs(CHANGING) do all[#all + 1] = name end
  for _, name in ipairs(OPTIONS) do all[#all + 1] = "_" .. name end
  local meta = { methods = {}, properties = {} }
  for name in each(methods) do
    meta.methods[name] = { reads = all, writes = CHANGING,
                           returns = name ~= "apply_success" }
  end
  meta.methods.apply_reset_backoff = { reads = all, returns = false,
                                       writes = { "_current_sleep_time" } }
  for name in each(state.computed) do
    meta.properties[name] = {
      reads = { "_is_broken", "_close_at", "_retry_at", "_probe" },
    }
  end
  return meta
end

state.shared_meta = make_shared_meta()

return state
