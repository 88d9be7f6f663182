--- cerial's errors: with the path to the value, at the line of the caller.
-- @module suitkaise.cerial.failure
-- @local

local errors = require "suitkaise.errors"

local MAX_LEVELS = 30 -- of the stack that are looked through for the caller

local failure = {}

local function show_key(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then
    return "." .. key
  end
  return "[" .. errors.show(key) .. "]"
end

-- what, key of each step -> "players[3].callback"
local function to_path(parts, steps)
  local path = ""
  for i = 1, steps do
    local what, key = parts[i * 2 - 1], parts[i * 2]
    if what == "field" then path = path .. show_key(key)
    elseif what == "upvalue" and key ~= "" then
      path = path .. "(upvalue " .. tostring(key) .. ")"
    else path = path .. "(" .. what .. ")"
    end
  end
  return (path:gsub("^%.", ""))
end

-- The level of the first function that is not suitkaise's.
local function caller_level()
  for level = 3, MAX_LEVELS do
    local info = debug.getinfo(level, "S")
    if not info then return 0 end
    if info.what ~= "C" and not info.source:find("/suitkaise/", 1, true) then
      return level - 1
    end
  end
  return 0
end

--- Raise a SerializationError.
-- @tparam table parts what and key of each step of the path
-- @tparam int steps
-- @tparam string reason
-- @param[opt] cause the error of a hook
function failure.serialization(parts, steps, reason, cause)
  local path = to_path(parts, steps)
  errors.raise("SerializationError", {
    message = path == "" and reason or path .. ": " .. reason,
    path = path, original_error = cause,
  }, caller_level())
end

--- Raise a DeserializationError.
-- @tparam string reason
-- @tparam int position bytes read so far
-- @param[opt] cause the error of a hook
function failure.deserialization(reason, position, cause)
  errors.raise("DeserializationError", {
    message = reason .. " (at byte " .. position .. ")",
    position = position, original_error = cause,
  }, caller_level())
end

return failure
