-- Reads one value so many times: for a count of its system calls.
-- usage: reads.lua TIMES

local sk = require "suitkaise"

local share = sk.Share()
share.n = 7
share:flush()
local sum = 0
for _ = 1, tonumber(arg[1]) do sum = sum + share.n end
print(sum)
share:stop()
