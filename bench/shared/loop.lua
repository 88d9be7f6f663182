-- One loop over a shared type: prints its nanoseconds a turn. For the Luas
-- and settings that the bench itself does not run under.
-- usage: loop.lua increment|value|flag|progress

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"
local sk = require "suitkaise"

local TURNS = 3e6

local counter, flag, progress = sk.Counter(), sk.Flag(), sk.Progress(1e12)
local kept

local loops = {
  increment = function(n) for _ = 1, n do counter:increment() end end,
  value = function(n) for _ = 1, n do kept = counter.value end end,
  flag = function(n) for _ = 1, n do kept = flag.value end end,
  progress = function(n) for _ = 1, n do progress:increment() end end,
}

local loop = loops[arg[1]]
loop(TURNS / 10)
print(measure.time(loop, TURNS) / TURNS * 1e9)
assert(kept ~= TURNS + 1)
