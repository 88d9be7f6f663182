--- A time limit for a call in a task: what it waits for is cancelled.
-- @module suitkaise.skfunction.cancelling

local errors = require "suitkaise.errors"

--- A function that calls `call` as a task of its own, for `seconds` at most.
-- @tparam string name of the function, for the message
-- @tparam number seconds
-- @tparam function call
-- @treturn function
return function(name, seconds, call)
  local function late(_, err)
    errors.raise("FunctionTimeoutError", {
      message = string.format("%s took longer than %g s", name, seconds),
      timeout = seconds, original_error = err,
    }, "caller")
  end
  return function(...)
    local limited = require "suitkaise.async.combine".limited
    return limited(name, seconds, late, call, ...)
  end
end
