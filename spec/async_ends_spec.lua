-- What has to end, and when: losers of a race, clean-ups that go on for ever,
-- rings that were heard, iterators of a TaskPool that is done with.

local async_helper = require "spec.async_helper"

local helper = require "spec.helper"
local luv = require "luv"
local sk = require "suitkaise"

local async = sk.async
local run, caught = async_helper.run, async_helper.caught
local settle = async_helper.settle

describe("async", function()
  after_each(helper.nothing_left)

  it("race returns when the losers have cleaned up", function()
    run(function()
      local has_cleaned = false
      local loser = async.spawn(function()
        local _, err = async.pcall(async.sleep, 60)
        async.sleep(0.01)
        has_cleaned = true
        error(err, 0)
      end)
      assert.equal("first", async.race(function()
        async.sleep(0)
        return "first"
      end, loser))
      assert.is_true(has_cleaned)
      assert.is_true(loser:done())
    end)
  end)

  it("with_timeout and gather return when their tasks have ended", function()
    run(function()
      local ended = 0
      local function slow()
        local _, err = async.pcall(async.sleep, 60)
        async.sleep(0.01)
        ended = ended + 1
        error(err, 0)
      end
      caught(async.with_timeout, 0.005, slow)
      assert.equal(1, ended)
      caught(async.gather, slow, function()
        async.sleep(0)
        error "no"
      end)
      assert.equal(2, ended)
    end)
  end)

  it("no clean-up waits longer than its grace, whatever for", function()
    run(function()
      local flag, event, queue = sk.Flag(), async.Event(), async.Queue()
      local pool = async.TaskPool{ max_concurrent = 1 }
      local ways = {
        function() event:wait() end,
        function() queue:get() end,
        function() async.sleep(60) end,
        function() flag:asynced():wait() end,
        function() async.gather(function() event:wait() end) end,
        function() async.with_timeout(60, event.wait, event) end,
        function() async.call(function() end) end,
        function() pool:map(function() event:wait() end, { 1 }) end,
      }
      local tasks = {}
      for i, way in ipairs(ways) do
        tasks[i] = async.spawn(function()
          async.pcall(async.sleep, 60)
          way()
        end)
      end
      settle()
      local began = async.now()
      for _, task in ipairs(tasks) do task:cancel() end
      for _, task in ipairs(tasks) do
        local err = caught(task.await, task, 15)
        assert.is_true(sk.is(err, "CancelledError"))
      end
      assert.is_true(async.now() - began >= 1)
    end)
  end)

  it("a ring is heard once, and the loop sleeps again", function()
    run(function()
      local one, other = sk.Flag(), sk.Flag()
      local waiting = async.spawn(function() one:asynced():wait() end)
      local heard = async.spawn(function() return other:asynced():wait(20) end)
      settle()
      other:set()
      assert.is_true(heard:await())
      local turns, check = 0, luv.new_check()
      check:start(function() turns = turns + 1 end)
      async.sleep(0.05)
      check:close()
      one:set()
      waiting:await()
      assert.is_true(turns < 500, turns .. " turns in 50 ms")
    end)
  end)

  it("the iterator of a TaskPool ends with its call", function()
    run(function()
      local pool = async.TaskPool{ max_concurrent = 2 }
      local has_ended = false
      local function source()
        local _, err = async.pcall(async.sleep, 60)
        has_ended = true
        error(err, 0)
      end
      local late = pool:timeout(0.01)
      assert.is_true(sk.is(caught(late.map, late, print, source),
                           "ResultTimeoutError"))
      assert.is_true(has_ended)
      has_ended = false
      local call = async.spawn(function() pool:map(print, source) end)
      settle()
      call:cancel()
      caught(call.await, call)
      assert.is_true(has_ended)
    end)
  end)
end)
