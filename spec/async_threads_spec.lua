-- The coroutines that tasks leave for the next ones.
local helper = require "spec.async_helper"
local sk = require "suitkaise"
local threads = require "suitkaise.async.threads"

local async = sk.async

local function burst(n)
  async.run(function()
    local tasks = {}
    for i = 1, n do
      tasks[i] = async.spawn(function() async.sleep(0) return i end)
    end
    async.gather(tasks)
  end)
end

describe("coroutines without a task", function()
  after_each(helper.nothing_left)

  it("run the next tasks", function()
    burst(100)
    local used = {}
    async.run(function()
      local before = threads.count()
      assert.is_true(before > 0)
      local task = async.spawn(function()
        used.thread = coroutine.running()
        return threads.count()
      end)
      assert.equal(before - 1, task:await())
      assert.equal(before, threads.count())
      async.spawn(function()
        used.again = coroutine.running() == used.thread
      end):await()
    end)
    assert.is_true(used.again)
  end)

  it("become fewer with each collection, down to a few", function()
    burst(1000)
    local most = threads.count()
    assert.is_true(most > 100, "only " .. most)
    for _ = 1, 30 do collectgarbage() end
    assert.is_true(threads.count() <= 16, threads.count() .. " are left")
    assert.is_true(threads.count() > 0)
  end)

  it("hold nothing of what they ran", function()
    local kept = setmetatable({}, { __mode = "v" })
    async.run(function()
      local argument, upvalue, result = {}, {}, {}
      kept[1], kept[2], kept[3] = argument, upvalue, result
      local results = { result }
      async.spawn(function(given)
        async.sleep(0)
        return given == upvalue, table.remove(results)
      end, argument):await()
    end)
    assert.is_true(threads.count() > 0)
    collectgarbage()
    collectgarbage()
    assert.same({}, { kept[1], kept[2], kept[3] })
  end)

  it("are not those that failed or were left lying", function()
    async.run(function()
      local failed
      pcall(function()
        async.spawn(function()
          failed = coroutine.running()
          error "no"
        end):await()
      end)
      async.spawn(function()
        assert.not_equal(failed, coroutine.running())
      end):await()
    end)
  end)

  it("give their next task its one argument, false and nil too", function()
    burst(10)
    async.run(function()
      local function count(...) return select("#", ...), (...) end
      assert.same({ 0 }, { async.spawn(count):await() })
      assert.same({ 1, false }, { async.spawn(count, false):await() })
      assert.equal(1, (async.spawn(count, nil):await()))
      assert.equal(2, (async.spawn(count, nil, nil):await()))
    end)
  end)
end)
