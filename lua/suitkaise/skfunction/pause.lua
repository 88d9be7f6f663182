-- A sleep until a moment of core.now. A signal ends one sleep of the core; its
-- hook (a host's Ctrl-C) runs in interpreted code only.

local core = require "suitkaise.core"

local function pause(deadline)
  local left = deadline - core.now()
  while left > 0 do
    core.wait({}, {}, "eager", left)
    left = deadline - core.now()
  end
end

if rawget(_G, "jit") then jit.off(pause) end

return pause
