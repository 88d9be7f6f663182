-- Random numbers for jitter: others in each process. math.random goes on from
-- the same state in all children of a process, and they would all wake at
-- once.

local core = require "suitkaise.core"

-- The generator of S. K. Park and K. W. Miller, "Random number generators:
-- good ones are hard to find", CACM 31 (1988).
local MODULUS, MULTIPLIER = 2147483647, 16807

local value, born

local function seed(generation)
  local hash = 1
  for c in tostring(generation):gmatch "." do
    hash = (hash * 31 + c:byte()) % MODULUS
  end
  return hash > 0 and hash or 1
end

-- -> from 0 to 1
return function()
  local generation = core.generation()
  if generation ~= born then born, value = generation, seed(generation) end
  value = value * MULTIPLIER % MODULUS
  return value / MODULUS
end
