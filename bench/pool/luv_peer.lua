-- luv's work queue with two threads: millions of no-op tasks a second.
local uv = require "luv"
local TASKS = 100000
local function run(n)
  local done = 0
  local work = uv.new_work(function(x) return x end,
                           function() done = done + 1 end)
  local begun = uv.hrtime()
  for i = 1, n do work:queue(i) end
  uv.run()
  assert(done == n)
  return n / ((uv.hrtime() - begun) / 1e3)
end
run(1000)
print(run(TASKS))
