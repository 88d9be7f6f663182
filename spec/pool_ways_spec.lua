-- Pool: a process for each item, classes of processes and Skfunctions as
-- functions, and maps in the background.

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

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function double(x) return 2 * x end

-- The pool of a test is closed also when that fails.
local function with_pool(opts, fn)
  local pool = sk.Pool(opts)
  local ok, err = pcall(fn, pool)
  pool:close()
  if not ok then error(err, 0) end
end

local function isolated(opts)
  opts = opts or {}
  opts.isolate, opts.workers = true, opts.workers or 2
  return opts
end

describe("Pool with isolate", function()
  after_each(nothing_left)

  it("does each item in a process of its own", function()
    with_pool(isolated(), function(pool)
      local pids = pool:map(function() return core.getpid() end, numbers(20))
      local seen = {}
      for _, pid in ipairs(pids) do
        assert.is_nil(seen[pid])
        seen[pid] = true
      end
    end)
  end)

  it("lets no item see what another did to its process", function()
    with_pool(isolated{ workers = 1 }, function(pool)
      local results = pool:map(function(i)
        local before = rawget(_G, "spoiled")
        rawset(_G, "spoiled", i)
        rawset(table, "insert", nil)
        return before == nil and string.format("%d", i)
      end, numbers(5))
      assert.same({ "1", "2", "3", "4", "5", n = 5 }, results)
    end)
  end)

  it("delivers results in all the ways", function()
    with_pool(isolated(), function(pool)
      assert.same({ 2, 4, 6, n = 3 }, pool:map(double, { 1, 2, 3 }))
      local sum = 0
      for v in pool:unordered_imap(double, numbers(50)) do sum = sum + v end
      assert.equal(50 * 51, sum)
      local at = 0
      for v, i in pool:imap(double, numbers(50)) do
        at = at + 1
        assert.same({ 2 * at, at }, { v, i })
      end
      assert.same({ 3, n = 1 }, pool:star():map(function(a, b)
        return a + b
      end, { { 1, 2 } }))
    end)
  end)

  it("takes results of megabytes", function()
    with_pool(isolated(), function(pool)
      local results = pool:map(function(n) return ("x"):rep(n) end,
                               { 3000000, 1, 2000000 })
      assert.same({ 3000000, 1, 2000000 },
                  { #results[1], #results[2], #results[3] })
    end)
  end)

  it("loses only the item whose process dies, however it does", function()
    with_pool(isolated{ on_error = "collect" }, function(pool)
      local results = pool:map(function(i)
        if i == 2 then core.exit(7) end
        if i == 4 then os.execute("kill -SEGV " .. core.getpid()) end
        if i == 6 then os.execute("kill -KILL " .. core.getpid()) end
        return i
      end, numbers(7))
      for _, i in ipairs { 1, 3, 5, 7 } do assert.equal(i, results[i]) end
      local function why(i)
        assert.is_true(sk.is(results[i].original_error, "WorkerDiedError"))
        return results[i].original_error
      end
      assert.equal(7, why(2).exit_code)
      assert.equal(11, why(4).signal)
      assert.equal(9, why(6).signal)
    end)
  end)

  it("names the process that died, not its worker", function()
    with_pool(isolated{ on_error = "collect" }, function(pool)
      local pids = { sk.Counter(0), sk.Counter(0) }
      local died = pool:map(function(i)
        pids[i]:set(core.getpid())
        core.exit(7)
      end, numbers(2))
      for i = 1, 2 do
        local why = died[i].original_error
        assert.equal(pids[i].value, why.pid)
        assert.matches("process " .. why.pid .. " ended", why.message, 1, true)
      end
    end)
  end)

  it("tries an item again when told to", function()
    with_pool(isolated{ retries = 2 }, function(pool)
      local tries = sk.Counter()
      local results = pool:map(function(i)
        if i == 3 and tries:increment() < 3 then core.exit(1) end
        return i
      end, numbers(5))
      assert.same({ 1, 2, 3, 4, 5, n = 5 }, results)
      assert.equal(3, tries.value)
    end)
  end)

  it("raises errors with class, fields and the far traceback", function()
    with_pool(isolated(), function(pool)
      local err = raised(pool.map, pool, function(i)
        if i == 2 then error{ code = 42 } end
      end, numbers(3))
      assert.is_true(sk.is(err, "TaskError"))
      assert.equal(2, err.index)
      assert.same({ code = 42 }, err.original_error)
      assert.matches("traceback", err.traceback)
      assert.is_true(err.pid ~= core.getpid())
    end)
  end)

  it("limits the time of items and of maps, and nothing is left", function()
    with_pool(isolated(), function(pool)
      local function slow(i)
        if i == 2 then while true do end end -- luacheck: ignore
        return i
      end
      local next_value = pool:timeout(0.2):imap(slow, numbers(3))
      assert.equal(1, next_value())
      local err = raised(next_value)
      assert.is_true(sk.is(err.original_error, "ResultTimeoutError"))
      assert.equal(3, next_value())
      local limited = pool:timeout(0.2)
      err = raised(limited.map, limited, slow, numbers(3))
      assert.is_true(sk.is(err, "ResultTimeoutError"))
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  it("ends the process of an item when it is terminated", function()
    local pool = sk.Pool(isolated{ workers = 1 })
    local pid = sk.Counter()
    local next_value = pool:imap(function()
      pid:set(core.getpid())
      while true do core.wait({}, {}, "eager", 60) end
    end, { 1 })
    helper.wait_until(function() return pid.value > 0 end)
    pool:terminate()
    assert.is_true(sk.is(raised(next_value), "ClosedError"))
    helper.wait_until(function() return core.gone(pid.value) end)
  end)

  it("says what it takes", function()
    local err = raised(sk.Pool, { isolate = 1 })
    assert.matches("isolate", tostring(err))
    assert.is_true(sk.is(err, "ArgumentError"))
  end)
end)

describe("A class of processes in a Pool", function()
  after_each(nothing_left)

  local function squares()
    local Square = sk.Skprocess:extend "Square"
    function Square:init(n, more)
      self.n, self.more, self.config.runs = n, more or 0, 1
    end
    function Square:__run__()
      if self.n == "bad" then error{ code = 42 } end
      self.square = self.n * self.n + self.more
    end
    function Square:__result__() return self.square end
    return Square
  end

  it("makes an object of each item, whose result is the item's", function()
    with_pool({ workers = 2 }, function(pool)
      local Square = squares()
      assert.same({ 1, 4, 9, n = 3 }, pool:map(Square, { 1, 2, 3 }))
      local sum = 0
      for v in pool:unordered_imap(Square, numbers(4)) do sum = sum + v end
      assert.equal(30, sum)
    end)
  end)

  it("gets what star unpacks as the constructor's arguments", function()
    with_pool({ workers = 2 }, function(pool)
      assert.same({ 5, 104, n = 2 },
                  pool:star():map(squares(), { { 2, 1 }, { 2, 100 } }))
    end)
  end)

  it("fails with the process's own error, classes and fields kept",
     function()
    with_pool({ workers = 2 }, function(pool)
      local err = raised(pool.map, pool, squares(), { 1, "bad", 3 })
      assert.is_true(sk.is(err, "TaskError"))
      assert.equal(2, err.index)
      assert.is_true(sk.is(err.original_error, "RunError"))
      assert.equal(0, err.original_error.current_run)
      assert.same({ code = 42 }, err.original_error.original_error)
      assert.same({ 1, n = 3, [3] = 9 }, err.results)
    end)
  end)

  it("has its lives and limits there too", function()
    with_pool({ workers = 1 }, function(pool)
      local Fragile = sk.Skprocess:extend "Fragile"
      function Fragile:init(tries)
        self.tries, self.config.runs, self.config.lives = tries, 1, 2
      end
      function Fragile:__run__()
        if self.tries:increment() == 1 then core.exit(3) end
      end
      function Fragile:__result__() return self.tries.value end
      assert.same({ 2, n = 1 }, pool:map(Fragile, { sk.Counter() }))
    end)
  end)

  it("does its items in isolation as well", function()
    with_pool(isolated(), function(pool)
      assert.same({ 1, 4, n = 2 }, pool:map(squares(), { 1, 2 }))
    end)
  end)
end)

describe("An Skfunction in a Pool", function()
  after_each(nothing_left)

  it("is called with each item, modifiers and all", function()
    with_pool({ workers = 2 }, function(pool)
      local tries = sk.Counter()
      local flaky = sk.skf(function(x)
        if tries:increment() < 3 then error "not yet" end
        return x + 1
      end)
      assert.same({ 8, n = 1 }, pool:map(flaky:retry{ times = 5, delay = 0 },
                                         { 7 }))
      assert.equal(3, tries.value)
    end)
  end)
end)

describe("Pool:background", function()
  after_each(nothing_left)

  it("returns a future of the results at once", function()
    with_pool({ workers = 2 }, function(pool)
      local gate = sk.Flag()
      local future = pool:background():map(function(x)
        gate:wait(20)
        return 2 * x
      end, { 1, 2, 3 })
      assert.is_false(future:done())
      gate:set()
      assert.same({ 2, 4, 6, n = 3 }, future:result(20))
      assert.same({ 2, 4, 6, n = 3 }, future:result())
    end)
  end)

  it("works while its owner does something else", function()
    with_pool({ workers = 2 }, function(pool)
      local done = sk.Counter()
      local future = pool:background():unordered_map(function()
        done:increment()
      end, numbers(100))
      helper.wait_until(function() return done.value == 100 end)
      assert.equal(100, future:result(20).n)
    end)
  end)

  it("may be used with other calls of the same pool", function()
    with_pool({ workers = 2 }, function(pool)
      local background = pool:background()
      local first = background:map(double, numbers(2000))
      local second = background:unordered_map(double, numbers(10))
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
      assert.equal(10, second:result(20).n)
      assert.equal(4000, first:result(20)[2000])
    end)
  end)

  it("raises errors and late results from the future", function()
    with_pool({ workers = 2 }, function(pool)
      local failed = pool:background():map(function(x) error{ x } end, { 5 })
      local err = raised(failed.result, failed, 20)
      assert.is_true(sk.is(err, "TaskError"))
      assert.same({ 5 }, err.original_error)
      local late = pool:timeout(0.05):background():map(function()
        while true do end -- luacheck: ignore
      end, { 1, 2 })
      err = raised(late.result, late, 20)
      assert.is_true(sk.is(err, "ResultTimeoutError"))
      assert.equal(0.05, err.timeout)
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  it("is ended by the future's cancel", function()
    with_pool({ workers = 2 }, function(pool)
      local begun = sk.Flag()
      local future = pool:background():map(function()
        begun:set()
        while true do end -- luacheck: ignore
      end, { 1, 2 })
      assert.is_true(begun:wait(20))
      assert.is_true(future:cancel())
      assert.is_true(sk.is(raised(future.result, future), "CancelledError"))
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  it("is dropped with a future that nobody holds", function()
    with_pool({ workers = 1 }, function(pool)
      local begun, gate = sk.Counter(), sk.Flag()
      pool:background():map(function()
        begun:increment()
        gate:wait(20)
      end, numbers(100))
      helper.wait_until(function() return begun.value == 1 end)
      collectgarbage()
      collectgarbage()
      assert.same({ n = 0 }, pool:map(double, {}))
      gate:set()
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
      assert.is_true(begun.value < 100)
    end)
  end)

  it("says that the pool was closed", function()
    local pool = sk.Pool{ workers = 1 }
    local gate = sk.Flag()
    local future = pool:background():map(function() gate:wait(20) end, { 1 })
    gate:set()
    pool:close()
    assert.is_true(sk.is(raised(future.result, future), "ClosedError"))
  end)

  it("is for maps", function()
    with_pool({ workers = 1 }, function(pool)
      local background = pool:background()
      local err = raised(background.imap, background, double, { 1 })
      assert.matches("only the maps", tostring(err))
    end)
  end)
end)

describe("processing.stats of pools", function()
  after_each(nothing_left)

  it("counts workers, items, restarts and what waits", function()
    with_pool({ workers = 2, on_error = "collect" }, function(pool)
      pool:map(function(x) if x == 3 then core.exit(1) end end, numbers(10))
      local gate = sk.Flag()
      local future = pool:background():map(function() gate:wait(20) end,
                                           numbers(10))
      local stats = sk.processing.stats()
      local figures
      for _, one in ipairs(stats.pool_list) do
        if one.restarts == 1 then figures = one end
      end
      assert.is_true(stats.pools >= 1)
      assert.equal(2, #figures.workers)
      assert.equal(1, figures.jobs)
      assert.is_true(figures.queued_items >= 10)
      assert.is_true(stats.queued_items >= figures.queued_items)
      assert.is_true(figures.workers[1].busy_seconds >= 0)
      gate:set()
      assert.equal(10, future:result(20).n)
    end)
  end)
end)
