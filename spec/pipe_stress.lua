-- Pipes whose processes are killed and stopped at random while messages flow:
-- what arrives is right and in order, everything else is a PipeClosedError,
-- nothing hangs, nothing is left. SECONDS says for how long each storm lasts.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local SECONDS = tonumber(os.getenv "SECONDS") or 20
local PATIENCE = 30 -- for one message

local function nothing_left()
  if rawget(_G, "jit") then jit.flush() end -- traces hold what they saw
  helper.nothing_left()
end

local function is_closed(err)
  if not sk.is(err, "PipeClosedError") then error(err, 0) end
  return true
end

-- Numbered messages, some of them longer than what a pipe holds.
local function message(n)
  local size = n % 50 == 0 and 700000 or n % 7 * 30
  return { n, ("x"):rep(size), size }
end

local function check(value, n)
  assert(value[1] == n, value[1] .. " instead of " .. n)
  assert(#value[2] == value[3])
end

-- Sends until it is killed; tells of no message twice.
local function send_on(point)
  for n = 1, math.huge do point:send(message(n)) end
end

-- Reads as long as the other side sends.
local function read_on(point)
  for n = 1, math.huge do
    local ok, value = pcall(point.recv, point)
    if not ok then return is_closed(value) end
    check(value, n)
  end
end

local function process(fn, point, lives)
  local Class = sk.Skprocess:extend "Stressed"
  function Class:__run__() fn(self.point) end
  local p = Class()
  p.point, p.config.runs, p.config.lives = point, 1, lives
  p:start()
  return p
end

-- Strikes a process after a moment; -> the child that does
local function strike_later(pid, how)
  return helper.fork(function()
    core.wait({}, {}, "eager", math.random() * 0.03)
    if how == "STOP" then
      os.execute("kill -STOP " .. pid .. " 2>/dev/null; sleep 0.01; "
        .. "kill -CONT " .. pid .. " 2>/dev/null")
      how = "KILL"
    end
    os.execute("kill -" .. how .. " " .. pid .. " 2>/dev/null")
  end)
end

local METHODS = { "KILL", "SEGV", "TERM", "STOP" }

local function for_a_while(round)
  local ends, rounds = core.now() + SECONDS, 0
  while core.now() < ends do
    rounds = rounds + 1
    math.randomseed(math.floor(core.now() * 1e6 % 1e9))
    round()
  end
  assert.is_true(rounds > 1)
end

describe("Pipe in a storm", function()
  after_each(nothing_left)

  it("hands out what a killed writer had sent, in order", function()
    for_a_while(function()
      local anchor, point = sk.Pipe.pair()
      local p = process(send_on, point, 1)
      local striker = strike_later(p.pid, METHODS[math.random(#METHODS)])
      for n = 1, math.huge do
        local ok, value, why = pcall(anchor.recv, anchor, PATIENCE)
        if not ok then is_closed(value) break end
        assert(why == nil, "nothing came")
        check(value, n)
      end
      striker:finish()
      p:wait(PATIENCE)
    end)
  end)

  it("ends the sends to a killed reader", function()
    for_a_while(function()
      local anchor, point = sk.Pipe.pair()
      local p = process(read_on, point, 1)
      local striker = strike_later(p.pid, METHODS[math.random(#METHODS)])
      for n = 1, math.huge do
        local ok, sent, why = pcall(anchor.send, anchor, message(n), PATIENCE)
        if not ok then is_closed(sent) break end
        assert(why == nil, "nobody reads")
      end
      striker:finish()
      p:wait(PATIENCE)
    end)
  end)

  it("ends with the owner of the anchor", function()
    for_a_while(function()
      local pool = sk.Pool{ workers = 1 }
      local got = pool:map(function()
        local anchor, at = sk.Pipe.pair()
        _G.kept = anchor
        return { at, core.getpid() }
      end, { 1 })[1]
      local point, pid = got[1], got[2]
      local busy = pool:background():map(function()
        for n = 1, math.huge do
          _G.kept:send(message(n))
        end
      end, { 1 })
      local striker = strike_later(pid, METHODS[math.random(#METHODS)])
      assert(read_on(point))
      striker:finish()
      assert(not pcall(busy.result, busy, PATIENCE))
      pool:close()
    end)
  end)

  it("goes from hand to hand without losing a message", function()
    for_a_while(function()
      local anchor, point = sk.Pipe.pair()
      local pool = sk.Pool{ workers = 3 }
      local n = 0
      for _ = 1, 20 do
        local future = pool:background():map(function(at)
          local first = at:recv()
          local second = at:recv()
          at:send(first + second)
          return at
        end, { point })
        anchor:send(n)
        anchor:send(n + 1)
        assert(anchor:recv(PATIENCE) == 2 * n + 1)
        n = n + 2
        point = future:result(PATIENCE)[1]
      end
      pool:close()
    end)
  end)

  it("lets lives go on where others ended", function()
    for_a_while(function()
      local anchor, point = sk.Pipe.pair()
      local p = process(function(at)
        while true do
          local value = at:recv()
          if value == "end" then return end
          at:send(value)
        end
      end, point, 50)
      local strikes = math.random(3)
      for n = 1, 200 do
        if strikes > 0 and n % 50 == 0 and p.pid then
          os.execute("kill -KILL " .. p.pid .. " 2>/dev/null")
          strikes = strikes - 1
        end
        -- what a dead one had taken is lost: say it again
        local ok, value
        repeat
          ok = pcall(anchor.send, anchor, n, PATIENCE)
          if ok then
            repeat
              ok, value = pcall(anchor.recv, anchor, PATIENCE)
            until not ok or value == n
          end
        until ok
      end
      helper.wait_until(function()
        pcall(anchor.send, anchor, "end", 1)
        return p:wait(0.1)
      end)
    end)
  end)
end)
