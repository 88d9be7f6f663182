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
