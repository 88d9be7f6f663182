-- What the specs of async share: a run with a heartbeat, which measures for
-- how long nothing else could run, and waits for conditions in tasks.

local helper = require "spec.helper"
local luv = require "luv" -- missing, it is a failure of each spec of async

local async_helper = {}

local async = require "suitkaise".async
local sk = require "suitkaise"

local BEAT = 0.001
local NOTABLE = 0.02 -- seconds: a longer gap is worth a look
local PATIENCE = 20

--- Can a `for` wait in its iterator here? Not on PUC 5.1.
async_helper.loops_wait = helper.lua ~= "lua5.1"

-- What is kept from its first use on: async's watch of cells, what libuv has
-- for servers (one in reserve) and for watches of files.
async.run(function() sk.Flag():asynced():wait(0.001) end)
local server = luv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(1, function() end)
server:close()
local watch = luv.new_fs_event()
watch:start(".", {}, function() end)
watch:close()
luv.run()
pcall(helper.nothing_left)

--- The longest time between two beats in this process, in seconds.
async_helper.longest_gap = 0

local function beat(where)
  local last = async.now()
  while true do
    async.sleep(BEAT)
    local now = async.now()
    if now - last > async_helper.longest_gap then
      async_helper.longest_gap = now - last
      if now - last > NOTABLE then
        io.stderr:write(string.format("%s: a gap of %.1f ms\n", where,
                                      1000 * (now - last)))
      end
    end
    last = now
  end
end

--- async.run with a heartbeat, ended after a while if it hangs.
function async_helper.run(main, ...)
  local info = debug.getinfo(2, "Sl")
  local where = info.short_src .. ":" .. info.currentline
  return async.run(function(...)
    async.spawn(beat, where)
    return async.with_timeout(PATIENCE, main, ...)
  end, ...)
end

--- In a task: wait until condition() holds.
function async_helper.wait_until(condition)
  local deadline = async.now() + PATIENCE
  while not condition() do
    if async.now() > deadline then error("timeout: it did not come true", 2) end
    async.sleep(0.001)
  end
end

--- Let every task run that can, often enough for chains of wakes.
function async_helper.settle()
  for _ = 1, 20 do async.sleep(0) end
end

--- Close every handle of a luv program that failed.
function async_helper.close_all()
  luv.walk(function(handle)
    if not handle:is_closing() then handle:close() end
  end)
  luv.run("nowait")
end

return async_helper
