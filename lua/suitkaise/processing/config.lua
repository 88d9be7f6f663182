--- The configuration of a process: its fields, their defaults, the check.
-- @module suitkaise.processing.config

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"

local config = {}

-- What may wait to be listened to, unless it says otherwise.
config.MAX_QUEUED = 256 * 1024 * 1024

-- More than there can be, and whole in every Lua.
local UNLIMITED = 2 ^ 53

local CONFIG = {
  runs = { type = "integer", min = 0 },
  lives = { type = "integer", min = 1, default = 1 },
  join_in = { type = "integer", min = 1 },
  time_limit = "number",
  timeouts = { type = "table", default = {} },
  max_queued = { type = "integer", min = 0, default = config.MAX_QUEUED },
}

local TIMEOUTS = {
  prerun = "number", run = "number", postrun = "number", onfinish = "number",
  result = "number", error = "number",
}

local function check_seconds(state, name, seconds)
  if seconds and not (seconds > 0) then
    errors.argument(state.name, name, seconds, "a number of seconds above 0",
                    "caller")
  end
end

-- Is it what was checked the last time? Then there is no more to check.
local function is_known(given, seen)
  if not seen or type(given) ~= "table" or type(given.timeouts) ~= "table"
  then
    return false
  end
  for name in each(CONFIG) do
    if name ~= "timeouts" and given[name] ~= seen[name] then return false end
  end
  for name in each(TIMEOUTS) do
    if given.timeouts[name] ~= seen.timeouts[name] then return false end
  end
  for name in each(given) do
    if CONFIG[name] == nil then return false end
  end
  for name in each(given.timeouts) do
    if TIMEOUTS[name] == nil then return false end
  end
  return true
end

local function copy_of(given)
  local copy = { timeouts = {} }
  for name, value in each(given) do
    if name ~= "timeouts" then copy[name] = value end
  end
  for name, value in each(given.timeouts or {}) do
    copy.timeouts[name] = value
  end
  return copy
end

--- The checked configuration of an object, with the defaults.
-- @param object
-- @param state of it
-- @raise ArgumentError
function config.check(object, state)
  if is_known(object.config, state.seen_config) then return state.config end
  local checked = options.check(state.name .. ".config", object.config, CONFIG,
                                "caller")
  checked.max_queued = math.min(checked.max_queued, UNLIMITED)
  checked.timeouts = options.check(state.name .. ".config.timeouts",
                                  checked.timeouts, TIMEOUTS, "caller")
  check_seconds(state, "config.time_limit", checked.time_limit)
  for name, seconds in each(checked.timeouts) do
    check_seconds(state, "config.timeouts." .. name, seconds)
  end
  state.seen_config = copy_of(object.config)
  return checked
end

--- Does it take a monitor?
function config.needs_monitor(checked)
  return checked.lives > 1 or checked.time_limit ~= nil
    or next(checked.timeouts) ~= nil
end

local LEAST_SECONDS = 0.05 -- between two looks
local MOST_SECONDS = 0.5

--- How often to look whether a limit holds: a section that has not begun is
-- late after the shortest limit at the earliest.
function config.shortest_limit(checked)
  local seconds = checked.time_limit
  for _, limit in each(checked.timeouts) do
    seconds = math.min(seconds or limit, limit)
  end
  return math.max(math.min(seconds or MOST_SECONDS, MOST_SECONDS),
                  LEAST_SECONDS)
end

return config
