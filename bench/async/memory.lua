-- One contender in a process of its own: bytes of memory for each of 100,000
-- that sleep, as the system counts them, and as Lua does.
-- usage: memory.lua ours|luv [lua]

local TASKS = 100000
local who, by_lua = arg[1], arg[2] == "lua"

local function memory()
  collectgarbage()
  collectgarbage()
  if by_lua then return collectgarbage "count" end
  local file = io.open "/proc/self/statm"
  local _, resident = file:read("*n", "*n")
  file:close()
  return resident * 4
end

local before, after

if who == "ours" then
  local async = require "suitkaise".async
  async.run(function() async.sleep(0.001) end)
  before = memory()
  async.run(function()
    for _ = 1, TASKS do
      async.spawn(function() async.sleep(3) end)
    end
    async.sleep(0.01)
    after = memory()
  end)
else -- a coroutine and a timer for each, as one writes it with luv alone
  local uv = require "luv"
  local function sleep(ms)
    local co, timer = coroutine.running(), uv.new_timer()
    timer:start(ms, 0, function()
      timer:close()
      coroutine.resume(co)
    end)
    coroutine.yield()
  end
  before = memory()
  for _ = 1, TASKS do coroutine.wrap(function() sleep(3000) end)() end
  uv.run "nowait"
  after = memory()
end

print((after - before) * 1024 / TASKS)
os.exit(0)
