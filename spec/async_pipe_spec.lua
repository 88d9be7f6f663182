-- Pipes in tasks: waits that let other tasks run.

require "spec.async_helper" -- the loop is there before anything is looked at
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async

local function nothing_left()
  if rawget(_G, "jit") then jit.flush() end -- traces hold what they saw
  helper.nothing_left()
end

local function with_point(fn, point)
  local Class = sk.Skprocess:extend "WithPoint"
  function Class:__run__() fn(self.point) end
  local p = Class()
  p.point, p.config.runs = point, 1
  p:start()
  return p
end

describe("a Pipe in a task", function()
  after_each(nothing_left)

  it("lets other tasks run while it waits for a message", function()
    local order = {}
    async.run(function()
      local anchor, point = async.Pipe.pair()
      local reader = async.spawn(function()
        order[#order + 1] = "reads"
        local value = anchor:recv()
        order[#order + 1] = value
      end)
      async.sleep(0)
      order[#order + 1] = "runs"
      point:send "got it"
      reader:await()
    end)
    assert.same({ "reads", "runs", "got it" }, order)
  end)

  it("lets other tasks run while it waits for room", function()
    async.run(function()
      local anchor, point = async.Pipe.pair()
      local long = ("x"):rep(2000000)
      local writer = async.spawn(function() anchor:send(long) end)
      assert.is_true(point:recv() == long)
      writer:await()
    end)
  end)

  it("talks to another process", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(function(at)
      local value = at:recv()
      while value ~= "end" do
        at:send(value * 2)
        value = at:recv()
      end
    end, point)
    async.run(function()
      local ticks = 0
      local ticker = async.spawn(function()
        while true do
          async.sleep(0.001)
          ticks = ticks + 1
        end
      end)
      local here = anchor:asynced()
      for i = 1, 50 do
        here:send(i)
        assert.equal(2 * i, here:recv(20))
      end
      assert.same({ nil, "timeout" }, { here:recv(0.02) })
      here:send "end"
      assert.is_true(ticks > 0)
      ticker:cancel()
    end)
    assert.is_true(p:wait(20))
  end)

  it("only looks for 0, outside of tasks too", function()
    local anchor, point = async.Pipe.pair()
    assert.same({ nil, "timeout" }, { anchor:recv(0) })
    point:send "x"
    assert.equal("x", anchor:recv(0))
    local ok, err = pcall(anchor.recv, anchor, 1)
    assert.is_false(ok)
    assert.matches("a wait was called outside of a task", tostring(err))
    anchor:close()
  end)

  it("hears that the other process has ended", function()
    local anchor, point = sk.Pipe.pair()
    local p = with_point(function() sk.sktime.sleep(60) end, point)
    async.run(function()
      local reader = async.spawn(function()
        return anchor:asynced():recv()
      end)
      async.sleep(0.01)
      p:kill()
      local ok, err = async.pcall(reader.await, reader)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "PipeClosedError"))
    end)
  end)

  it("hears that the other process had ended before", function()
    for _, way in ipairs { "had it", "was told of it" } do
      local anchor, point = sk.Pipe.pair()
      local p = with_point(function() sk.sktime.sleep(60) end,
                           way == "had it" and point or nil)
      if way == "was told of it" then p:tell(point) end
      p:kill()
      async.run(function()
        local here = anchor:asynced()
        local ok, err = async.pcall(here.recv, here, 20)
        assert.is_false(ok)
        assert.is_true(sk.is(err, "PipeClosedError"))
      end)
    end
  end)

  it("keeps the messages of two tasks whole", function()
    async.run(function()
      local anchor, point = async.Pipe.pair()
      local writers = {}
      for _, letter in ipairs { "a", "b", "c" } do
        writers[#writers + 1] = async.spawn(function()
          anchor:send(letter:rep(600000))
        end)
      end
      local seen = {}
      for _ = 1, 3 do
        local value = point:recv(20)
        assert.equal(600000, #value)
        assert.is_nil(value:find("[^" .. value:sub(1, 1) .. "]"))
        seen[value:sub(1, 1)] = true
      end
      assert.same({ a = true, b = true, c = true }, seen)
      for _, writer in ipairs(writers) do writer:await() end
    end)
  end)

  it("sends nothing of a message whose task is cancelled", function()
    async.run(function()
      local anchor, point = async.Pipe.pair()
      local writer = async.spawn(function()
        anchor:send(("x"):rep(2000000))
      end)
      async.sleep(0.01)
      writer:cancel()
      async.pcall(writer.await, writer)
      assert.same({ nil, "timeout" }, { point:recv(0) })
      anchor:send "next"
      assert.equal("next", point:recv(0))
    end)
  end)
end)
