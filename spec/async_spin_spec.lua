-- Looking for news before the loop sleeps.

local async_helper = require "spec.async_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"
local spin = require "suitkaise.async.spin"
local uv = require "luv"

local async = sk.async

describe("a look before the loop sleeps", function()
  local lookers, looks

  before_each(function()
    lookers, looks = spin.lookers, 0
  end)
  after_each(function()
    spin.lookers = lookers
    helper.nothing_left()
  end)

  local function look_at(found)
    spin.lookers = { function()
      looks = looks + 1
      return found
    end }
    return spin.look(async.now() + 60)
  end

  it("is short where nobody waits for what it sees", function()
    assert.is_false(look_at(nil))
    assert.equal(1, looks)
  end)

  it("ends with the first news", function()
    assert.is_true(look_at(true))
    assert.equal(1, looks)
  end)

  it("is left for longer and longer while it is in vain", function()
    if sk.cpu_count() == 1 then return assert.is_false(look_at(false)) end
    local long = 0
    for _ = 1, 4000 do
      looks = 0
      assert.is_false(look_at(false))
      if looks > 1 then long = long + 1 end
    end
    assert.is_true(long < 20, long .. " long looks of 4000")
  end)

  it("hears what a process says, both ways", function()
    local Echo = async.Skprocess:extend "Echo"
    function Echo:__run__()
      local value = self:listen()
      if value then self:tell(value) end
    end
    async_helper.run(function()
      local p = Echo()
      p:start()
      for i = 1, 500 do
        p:tell(i)
        assert.equal(i, p:listen(20))
      end
      p:stop()
      p:wait()
    end)
  end)

  local function look_once()
    local seen = nil
    for _, look in ipairs(lookers) do
      local found = look()
      if found ~= nil then seen = found end
    end
    return seen
  end

  -- A task that does wait(end), and the other end; the loop has not slept
  -- since, which it may do in between on a busy machine: then again.
  local function waiting(wait)
    for _ = 1, 100 do
      local anchor, point = sk.Pipe.pair()
      local task = async.spawn(wait, anchor:asynced())
      async.sleep(0)
      if look_once() == false then return task, point, anchor end
      task:cancel()
    end
  end

  local function receive(at) return at:recv() end

  it("sees what is sent through a Pipe", function()
    async.run(function()
      local reader, point = waiting(receive)
      point:send "x"
      assert.is_true(look_once())
      assert.equal("x", reader:await())
      assert.is_nil(look_once())
    end)
  end)

  it("is not taken for what a task has waited for before", function()
    async.run(function()
      local flag = sk.Flag()
      local task = waiting(function(at)
        async.pcall(receive, at)
        return flag:asynced():wait(20)
      end)
      task:cancel()
      async.sleep(0) -- now it waits for the flag
      look_once()
      flag:set()
      assert.is_true(task:await(20))
    end)
  end)

  it("sees that there is room in a Pipe again", function()
    async.run(function()
      local long = ("x"):rep(300000)
      local writer, point = waiting(function(at) at:send(long) end)
      assert.same({ nil, "timeout" }, { point:recv(0) }) -- takes a part
      assert.is_true(look_once())
      assert.is_true(point:asynced():recv(20) == long)
      writer:await()
    end)
  end)

  it("sees that the other end of a Pipe was closed", function()
    async.run(function()
      local reader, point = waiting(receive)
      point:close()
      assert.is_true(look_once())
      local ok, err = async.pcall(reader.await, reader)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "PipeClosedError"))
    end)
  end)

  it("is taken again when news come soon after the loop slept", function()
    if sk.cpu_count() == 1 then return assert.is_false(look_at(false)) end
    local function is_long()
      looks = 0
      look_at(false)
      return looks > 1
    end
    local short = 0 -- in a row: after them comes a rest twice as long
    repeat
      local was_long = is_long()
      local is_much = short > 100
      short = was_long and 0 or short + 1
    until was_long and is_much
    local is_taken = false
    for _ = 1, 20 do -- not every sleep is short on a busy machine
      spin.heard()
      is_taken = is_taken or is_long()
    end
    assert.is_true(is_taken)
  end)

  it("does not keep libuv waiting while there is always news", function()
    async.run(function()
      local ticks, timer, task = 0, uv.new_timer(), nil
      local parked = async.Semaphore(1)
      parked:acquire()
      timer:start(1, 1, function()
        ticks = ticks + 1
        pcall(parked.release, parked)
      end)
      spin.lookers = { function() -- wakes the task again and again
        if ticks > 3 or not task then return nil end
        return (pcall(parked.release, parked))
      end }
      task = async.spawn(function()
        while ticks <= 3 do parked:acquire() end
      end)
      task:await(20)
      timer:close()
    end)
  end)
end)
