-- Two threads of cqueues, each at the end of a buffered socket: no-op tasks
-- (millions a second), tasks of a millisecond (seconds for 400), results of
-- 100 KB (GB/s). Items and results are lines, for threads take only strings.
-- usage: cqueues_peer.lua noop|one_ms|payload
local cqueues = require "cqueues"
local thread = require "cqueues.thread"
local what = arg[1]

local function worker(con, name)
  con:setmode("bf", "bf")
  local padding = (" "):rep(99992)
  local function one_ms(n)
    local x = n
    for _ = 1, 114000 do x = (x * 16807) % 2147483647 end
    return x
  end
  local count = 0
  for line in con:lines("*l") do
    local item = tonumber(line)
    if item == 0 then
      con:write("0\n")
      con:flush()
    elseif name == "payload" then
      con:write(("%08d"):format(item), padding)
      con:flush()
    else
      con:write(name == "noop" and item or one_ms(item), "\n")
      count = count + 1
      if count % 64 == 0 or name == "one_ms" then con:flush() end
    end
  end
end

-- Half of the items to one thread, no more than 256 under way.
local function feed(con, n)
  con:setmode("bf", "bf")
  local sent = 0
  for got = 1, n do
    while sent < n and sent - got < 256 do
      sent = sent + 1
      con:write(sent, "\n")
    end
    con:flush()
    assert(con:read(what == "payload" and 100000 or "*l"))
  end
end

local function seconds_of(n)
  local loop, cons = cqueues.new(), {}
  for i = 1, 2 do
    local started, con = thread.start(worker, what)
    assert(started, con)
    cons[i] = con
    con:setmode("bf", "bf")
    con:write("0\n")
    con:flush()
    con:read("*l")
  end
  local begun = cqueues.monotime()
  for i = 1, 2 do loop:wrap(function() feed(cons[i], n / 2) end) end
  assert(loop:loop())
  return cqueues.monotime() - begun
end

if what == "noop" then print(0.1 / seconds_of(100000))
elseif what == "one_ms" then print(seconds_of(400))
else print(0.04 / seconds_of(400)) end
os.exit(0)
