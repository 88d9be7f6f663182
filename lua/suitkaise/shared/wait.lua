-- Waiting for a shared value: bounded sleeps, so that a waker that was killed
-- before it woke anybody costs a moment and not for ever.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"

local SLICE = 0.5       -- seconds of one sleep
local DRAW_SLICE = 0.1  -- while a bar is to be redrawn

-- Add the method `wait` to a class. `redraw`, if any, is called between the
-- sleeps and says whether it wants to be called again.
return function(class, raw, hooks, redraw)
  local owner = class.__name .. ":wait"

  local function wait(self, timeout)
    if getmetatable(self) ~= class then hooks.refuse("wait", "self", self) end
    if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
      errors.argument(owner, "timeout", timeout,
                      "seconds (at least 0) or nil")
    end
    local deadline = timeout and core.now() + timeout
    while true do
      local slice = redraw and redraw(self) and DRAW_SLICE or SLICE
      local left = deadline and deadline - core.now() or slice
      if raw.wait(self, left < slice and left or slice) then break end
      if left <= 0 then return false end
    end
    if redraw then redraw(self) end
    return true
  end

  -- A signal ends a sleep; its hook runs in interpreted code only.
  if rawget(_G, "jit") then jit.off(wait) end
  class.wait = wait
end
