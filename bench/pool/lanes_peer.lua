-- Two lanes fed through a linda, 64 items a message: no-op tasks (millions a
-- second), tasks of a millisecond (seconds for 400), results of 100 KB (GB/s).
-- usage: lanes_peer.lua noop|one_ms|payload
package.path = "bench/?.lua;" .. package.path

local lanes = require "lanes".configure()
local uv = require "luv"
local what = arg[1]

local function worker(linda, name, batch)
  local padding = (" "):rep(99992)
  local tasks = {
    noop = function(x) return x end,
    one_ms = function(n)
      local x = n
      for _ = 1, 114000 do x = (x * 16807) % 2147483647 end
      return x
    end,
    payload = function(i) return ("%08d"):format(i) .. padding end,
  }
  local task = tasks[name]
  while true do
    local items = { linda:receive(nil, linda.batched, "items", 1, batch) }
    for i = 2, #items do
      if items[i] == 0 then return true end
      linda:send("results", task(items[i]))
    end
  end
end

local function seconds_of(n, batch)
  local linda = lanes.linda()
  local start = lanes.gen("*", worker)
  local hands = { start(linda, what, batch), start(linda, what, batch) }
  linda:send("items", 1)
  linda:receive("results")
  local begun, sent, got = uv.hrtime(), 0, 0
  while got < n do
    while sent < n and sent - got < 2048 do
      sent = sent + 1
      linda:send("items", sent)
    end
    local results = { linda:receive(nil, linda.batched, "results", 1, batch) }
    got = got + #results - 1
  end
  local seconds = (uv.hrtime() - begun) / 1e9
  for _ = 1, 2 * batch do linda:send("items", 0) end
  for _, hand in ipairs(hands) do hand:join() end
  return seconds
end

if what == "noop" then print(0.1 / seconds_of(100000, 64))
elseif what == "one_ms" then print(seconds_of(400, 1))
else print(0.04 / seconds_of(400, 1)) end
os.exit(0)
