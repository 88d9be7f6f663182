-- One contender in a process of its own: milliseconds until 10,000 sleeps of
-- 10 ms are over, the median of several rounds.
-- usage: sleeps.lua ours|timers|coroutines

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"

local SLEEPS = 10000
local ROUNDS = 21
local contenders = {}

function contenders.ours()
  local async = require "suitkaise".async
  async.run(function()
    local tasks = {}
    for i = 1, SLEEPS do
      tasks[i] = async.spawn(function() async.sleep(0.01) end)
    end
    async.gather(tasks)
  end)
end

function contenders.timers()
  local uv = require "luv"
  local done = 0
  uv.update_time()
  for _ = 1, SLEEPS do
    local timer = uv.new_timer()
    timer:start(10, 0, function()
      timer:close()
      done = done + 1
    end)
  end
  uv.run()
  assert(done == SLEEPS)
end

function contenders.coroutines()
  local uv = require "luv"
  local done = 0
  uv.update_time()
  for _ = 1, SLEEPS do
    coroutine.wrap(function()
      local co, timer = coroutine.running(), uv.new_timer()
      timer:start(10, 0, function()
        timer:close()
        coroutine.resume(co)
      end)
      coroutine.yield()
      done = done + 1
    end)()
  end
  uv.run()
  assert(done == SLEEPS)
end

local list = {}
for i = 1, ROUNDS do list[i] = measure.time(contenders[arg[1]]) * 1000 end
print(measure.median(list))
