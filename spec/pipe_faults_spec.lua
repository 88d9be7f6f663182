-- Pipe when the process at the other end is killed or stopped.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function nothing_left()
  if rawget(_G, "jit") then jit.flush() end -- traces hold what they saw
  helper.nothing_left()
end

local function raised(fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function is_closed(err)
  assert.is_true(sk.is(err, "PipeClosedError"), tostring(err))
end

-- Starts it with the point; it says ready.
local function start(fn, point, config)
  local Class = sk.Skprocess:extend "Victim"
  function Class:__run__()
    self.point:send "ready"
    fn(self.point)
  end
  local p = Class()
  p.point, p.config.runs = point, 1
  for name, value in pairs(config or {}) do p.config[name] = value end
  p:start()
  return p
end

local function sleep_long()
  core.wait({}, {}, "eager", 60)
end

describe("Pipe under faults", function()
  after_each(nothing_left)

  it("gives what was sent before the other process was killed", function()
    local anchor, point = sk.Pipe.pair()
    local p = start(function(at)
      for i = 1, 100 do at:send(i) end
      at:send "all"
      sleep_long()
    end, point)
    helper.wait_until(function() return anchor:recv(0) == "ready" end)
    core.wait({}, {}, "eager", 0.02)
    p:kill()
    local n = 0
    local err
    repeat
      local ok, value = pcall(anchor.recv, anchor)
      if ok then
        n = n + 1
        assert.equal(n <= 100 and n or "all", value)
      else
        err = value
      end
    until err
    is_closed(err)
    is_closed(raised(anchor.send, anchor, ("x"):rep(1e6)))
  end)

  it("ends a recv that waits when the other process is killed", function()
    local anchor, point = sk.Pipe.pair()
    local p = start(sleep_long, point)
    assert.equal("ready", anchor:recv(20))
    local pid = p.pid
    local killer = helper.fork(function()
      core.wait({}, {}, "eager", 0.05)
      assert(os.execute("kill -KILL " .. pid))
    end)
    is_closed(raised(anchor.recv, anchor))
    killer:finish()
    assert.is_true(p:wait(20))
  end)

  it("ends a send that waits when the other process is killed", function()
    local anchor, point = sk.Pipe.pair()
    local p = start(sleep_long, point)
    assert.equal("ready", anchor:recv(20))
    local pid = p.pid
    local killer = helper.fork(function()
      core.wait({}, {}, "eager", 0.05)
      assert(os.execute("kill -KILL " .. pid))
    end)
    is_closed(raised(anchor.send, anchor, ("x"):rep(1e6)))
    killer:finish()
    assert.is_true(p:wait(20))
  end)

  it("notices the death of a process that had not used its end", function()
    for lives = 1, 2 do
      local anchor, point = sk.Pipe.pair()
      local Class = sk.Skprocess:extend "Unused"
      Class.__run__ = sleep_long
      local p = Class()
      p.point, p.config.lives = point, lives
      p:start()
      p:kill()
      is_closed(raised(anchor.recv, anchor))
    end
  end)

  describe("whose point was told to a process that ends without it", function()
    local deaf = sk.Skprocess:extend "Deaf"
    function deaf.__run__() sleep_long() end

    local hears = sk.Skprocess:extend "Hears"
    function hears:__run__() self:listen(20):send "heard" end

    local function started(class, config)
      local p = class()
      p.config.runs = 1
      for name, value in pairs(config or {}) do p.config[name] = value end
      p:start()
      return p
    end

    it("raises at the anchor, with one life or more", function()
      for lives = 1, 2 do
        local anchor, point = sk.Pipe.pair()
        local p = started(deaf, { lives = lives })
        p:tell{ deep = { point } }
        assert.same({ nil, "timeout" }, { anchor:recv(0) })
        p:kill()
        is_closed(raised(anchor.recv, anchor, 20))
        is_closed(raised(anchor.send, anchor, 1))
      end
    end)

    it("ends a recv that waits already", function()
      local anchor, point = sk.Pipe.pair()
      local Short = sk.Skprocess:extend "Short"
      function Short.__run__() core.wait({}, {}, "eager", 0.1) end
      local p = started(Short)
      p:tell(point)
      is_closed(raised(anchor.recv, anchor, 20))
      assert.is_true(p:wait(20))
    end)

    it("raises also when it was told before the start", function()
      local anchor, point = sk.Pipe.pair()
      local p = deaf()
      p:tell(point)
      assert.same({ nil, "timeout" }, { anchor:recv(0.01) })
      p:start()
      p:kill()
      is_closed(raised(anchor.recv, anchor, 20))
    end)

    it("goes on when its owner uses it, or tells it to somebody else",
       function()
      local anchor, point = sk.Pipe.pair()
      local p = started(deaf)
      p:tell(point)
      p:kill()
      is_closed(raised(anchor.recv, anchor, 20))
      point:send "still here"
      assert.equal("still here", anchor:recv(20))
      assert.same({ nil, "timeout" }, { anchor:recv(0.01) })
      p = started(hears)
      p:tell(point)
      assert.equal("heard", anchor:recv(20))
      assert.is_true(p:wait(20))
      is_closed(raised(anchor.recv, anchor, 20))
    end)

    it("waits for the next life, which hears of it", function()
      local anchor, point = sk.Pipe.pair()
      local lives = sk.Counter(0)
      local Second = hears:extend "Second"
      function Second.__prerun__()
        if lives:increment() == 1 then sleep_long() end
      end
      local p = started(Second, { lives = 2 })
      p:tell(point)
      helper.wait_until(function() return lives.value == 1 end)
      os.execute("kill -9 " .. p.pid)
      assert.equal("heard", anchor:recv(20))
      assert.is_true(p:wait(20))
    end)
  end)

  it("waits for a process that is stopped", function()
    local anchor, point = sk.Pipe.pair()
    local p = start(function(at) at:send(at:recv()) end, point)
    assert.equal("ready", anchor:recv(20))
    assert(os.execute("kill -STOP " .. p.pid))
    anchor:send "later"
    assert.same({ nil, "timeout" }, { anchor:recv(0.1) })
    assert(os.execute("kill -CONT " .. p.pid))
    assert.equal("later", anchor:recv(20))
    assert.is_true(p:wait(20))
  end)

  it("notices the death of the process that has the anchor", function()
    local pool = sk.Pool{ workers = 1 }
    local point = pool:map(function()
      local anchor, point = sk.Pipe.pair()
      _G.kept = anchor
      anchor:send "mine"
      return point
    end, { 1 })[1]
    assert.equal("mine", point:recv(20))
    pool:terminate()
    is_closed(raised(point.recv, point))
    is_closed(raised(point.send, point, 1))
  end)

  it("goes on with the next life of a process that was killed", function()
    local anchor, point = sk.Pipe.pair()
    local Class = sk.Skprocess:extend "Lives"
    function Class:__run__() self.point:send(self.point:recv()) end
    local p = Class()
    p.point, p.config.lives, p.config.runs = point, 2, 2
    p.config.join_in = 1
    p:start()
    anchor:send(1)
    assert.equal(1, anchor:recv(20))
    helper.wait_until(function() return p:sync() end)
    local first = p.pid
    assert(os.execute("kill -KILL " .. first))
    helper.wait_until(function() return p.pid ~= first end)
    -- between the two lives nobody is there
    helper.wait_until(function() return (pcall(anchor.send, anchor, 2)) end)
    assert.equal(2, anchor:recv(20))
    assert.is_true(p:wait(20))
  end)

  it("puts no message together from the parts of two", function()
    local anchor, point = sk.Pipe.pair()
    local long = ("x"):rep(2e6)
    local child = helper.fork(function()
      point:send "ready"
      point:send(long)
    end)
    assert.equal("ready", anchor:recv(20))
    child:until_asleep() -- for room, in the midst of the message
    child:kill()
    child:finish()
    is_closed(raised(anchor.recv, anchor))
    -- its owner is dead: a child that inherits it may have it
    child = helper.fork(function() point:send "whole" end)
    assert.equal(0, child:finish())
    assert.equal("whole", anchor:recv(20))
  end)

  it("lets a Pool try an item again whose worker died with the point",
     function()
    local pool = sk.Pool{ workers = 1, retries = 1 }
    local anchor, point = sk.Pipe.pair()
    local tries = sk.Counter()
    local results = pool:map(function(at)
      at:send(tries:increment())
      if tries.value == 1 then core.exit(9) end
      return "second"
    end, { point })
    assert.equal("second", results[1])
    assert.equal(1, anchor:recv(20))
    assert.equal(2, anchor:recv(20))
    pool:close()
  end)
end)
