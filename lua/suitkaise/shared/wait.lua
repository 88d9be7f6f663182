-- Waiting for a shared value: bounded sleeps, so that a waker that was killed
-- before it woke anybody costs a moment and not for ever.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local waiters = require "suitkaise.async.wait"

local SLICE = 0.5       -- seconds of one sleep
local DRAW_SLICE = 0.1  -- while a bar is to be redrawn

-- Add the methods `wait` and `asynced` to a class. `redraw`, if any, is called
-- between the sleeps and says whether it wants to be called again.
return function(class, raw, hooks, redraw)
  local owner = class.__name .. ":wait"

  local function sleep_until_reached(waiter, self, timeout)
    local deadline = timeout and core.now() + timeout
    while true do
      local slice = redraw and redraw(self) and DRAW_SLICE or SLICE
      local left = deadline and deadline - core.now() or slice
      if waiter.cell(raw, self, left < slice and left or slice) then break end
      if left <= 0 then return false end
    end
    if redraw then redraw(self) end
    return true
  end

  -- A signal ends a sleep; its hook runs in interpreted code only.
  if rawget(_G, "jit") then jit.off(sleep_until_reached) end

  local function check_timeout(timeout)
    if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
      errors.argument(owner, "timeout", timeout,
                      "a number of seconds of at least 0", 3)
    end
  end

  function class.wait(self, timeout)
    if getmetatable(self) ~= class then hooks.refuse("wait", "self", self) end
    check_timeout(timeout)
    return (sleep_until_reached(waiters.blocking, self, timeout))
  end

  local View = { __name = class.__name .. " view" }
  View.__index = View

  function View:wait(timeout)
    check_timeout(timeout)
    return (sleep_until_reached(waiters.yielding(), self.cell, timeout))
  end

  function class.asynced(self)
    if getmetatable(self) ~= class then
      hooks.refuse("asynced", "self", self)
    end
    return setmetatable({ cell = self }, View)
  end
end
