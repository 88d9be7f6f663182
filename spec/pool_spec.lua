-- What Pool promises: results, order, laziness, errors, sizes.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function numbers(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

local function double(x) return x * 2 end

local function collect(iterator)
  local t = {}
  for v, i in iterator do t[#t + 1] = { v, i } end
  return t
end

describe("Pool", function()
  local pool

  local function open(options)
    pool = sk.Pool(options or { workers = 2 })
    return pool
  end

  after_each(function()
    if pool then pool:terminate() end
    pool = nil
    helper.nothing_left()
  end)

  describe("map", function()
    it("returns results in the order of the items", function()
      local results = open():map(double, numbers(1000))
      assert.equal(1000, results.n)
      for i = 1, 1000 do assert.equal(2 * i, results[i]) end
    end)

    it("takes an empty array and an iterator that ends at once", function()
      open()
      assert.same({ n = 0 }, pool:map(double, {}))
      assert.same({ n = 0 }, pool:map(double, function() end))
    end)

    it("reads an iterator to its end", function()
      local i = 0
      local results = open():map(double, function()
        i = i + 1
        if i <= 100 then return i end
      end)
      assert.equal(100, results.n)
      assert.equal(200, results[100])
    end)

    it("keeps nil and false results in their places", function()
      local results = open():map(function(x)
        if x % 3 == 0 then return nil end
        return x % 3 == 1
      end, numbers(30))
      assert.equal(30, results.n)
      assert.is_nil(results[3])
      assert.is_true(results[1])
      assert.is_false(results[2])
    end)

    it("honours n of an array with holes", function()
      local seen = open():map(function(x) return x == nil end,
                              { 1, nil, 3, nil, n = 4 })
      assert.same({ false, true, false, true, n = 4 }, seen)
    end)

    it("carries closures with what they capture", function()
      local factor, offsets = 3, { 10, 20 }
      local function scale(x) return x * factor + offsets[2] end
      assert.same({ 23, 26, n = 2 }, open():map(scale, { 1, 2 }))
    end)

    it("calls functions that were made after the workers", function()
      open()
      local fresh = (loadstring or load)("return function(x) return -x end")()
      assert.same({ -1, -2, n = 2 }, pool:map(fresh, { 1, 2 }))
    end)

    it("keeps the worker's copy of a closure for the whole call", function()
      local count = 0
      local results = open{ workers = 1 }:map(function()
        count = count + 1
        return count
      end, numbers(10))
      assert.equal(10, results[10])
      assert.equal(0, count)
    end)

    it("passes tables with cycles and shared parts", function()
      local item = { name = "a" }
      item.me = item
      local back = open():map(function(t)
        return { t.me == t, t }
      end, { item })[1]
      assert.is_true(back[1])
      assert.equal(back[2], back[2].me)
    end)

    it("takes items and results of tens of megabytes", function()
      local size = 2e7
      local results = open():map(function(s) return #s, s .. "!" end,
                                 { ("a"):rep(size), "b" })
      assert.same({ size, 1, n = 2 }, results)
      local back = pool:map(function(n) return ("z"):rep(n) end,
                            { size, 10, size })
      assert.equal(size, #back[1])
      assert.equal(10, #back[2])
      assert.equal(("z"):rep(size), back[3])
    end)

    it("uses a different process for the work", function()
      local pids = open():map(function() return sk.getpid() end, numbers(20))
      for i = 1, 20 do assert.not_equal(sk.getpid(), pids[i]) end
    end)

    it("gives every item to exactly one worker", function()
      local calls = sk.Counter(0)
      open{ workers = 3 }
      for _, chunk in ipairs { "auto", 1, 7, 1000 } do
        local other = sk.Pool{ workers = 3, chunk = chunk }
        other:map(function() calls:increment() end, numbers(5000))
        other:close()
      end
      assert.equal(20000, calls.value)
    end)

    it("moves waiting items from a busy worker to an idle one", function()
      local started, release = sk.Counter(0), sk.Flag(false)
      open{ workers = 2, chunk = 50 }
      local results = pool:map(function(x)
        if started:increment() == 100 then release:set() end
        -- one worker is stuck in the first item until all others were begun
        if x == 1 then return release:wait(20) end
        return true
      end, numbers(100))
      for i = 1, 100 do assert.is_true(results[i]) end
    end)
  end)

  describe("unordered_map", function()
    it("returns every result once", function()
      local results = open():unordered_map(double, numbers(500))
      assert.equal(500, results.n)
      table.sort(results)
      for i = 1, 500 do assert.equal(2 * i, results[i]) end
    end)

    it("puts what is done first first", function()
      local gate = sk.Flag(false)
      local results = open{ workers = 2, chunk = 1 }:progress(function(done)
        if done == 1 then gate:set() end
      end):unordered_map(function(x)
        if x == 1 then gate:wait(20) end
        return x
      end, { 1, 2 })
      assert.same({ 2, 1, n = 2 }, results)
    end)
  end)

  describe("imap", function()
    it("yields results in the order of the items, with their numbers",
    function()
      local got = collect(open():imap(double, numbers(300)))
      assert.equal(300, #got)
      for i = 1, 300 do assert.same({ 2 * i, i }, got[i]) end
    end)

    it("reads an endless iterator only a bounded distance ahead", function()
      local pulled, yielded = 0, 0
      for v in open{ workers = 2, chunk = 1 }:imap(double, function()
        pulled = pulled + 1
        return pulled
      end) do
        yielded = yielded + 1
        assert.equal(2 * yielded, v)
        assert.is_true(pulled - yielded <= 64)
        if yielded == 1000 then break end
      end
    end)

    it("yields false for nil, and goes on", function()
      local got = collect(open():imap(function() end, numbers(5)))
      assert.equal(5, #got)
      assert.is_false(got[3][1])
    end)

    it("starts before the loop asks", function()
      local begun = sk.Flag(false)
      open():imap(function() begun:set() end, { 1 })
      assert.is_true(begun:wait(20))
    end)
  end)

  describe("unordered_imap", function()
    it("yields every result once, with its number", function()
      local seen = {}
      for v, i in open():unordered_imap(double, numbers(300)) do
        assert.equal(2 * i, v)
        assert.is_nil(seen[i])
        seen[i] = true
      end
      assert.equal(300, #seen)
    end)

    it("yields a result while others are still being made", function()
      local gate = sk.Flag(false)
      local order = {}
      for v in open{ workers = 2, chunk = 1 }:unordered_imap(function(x)
        if x == 1 then gate:wait(20) end
        return x
      end, { 1, 2 }) do
        order[#order + 1] = v
        gate:set()
      end
      assert.same({ 2, 1 }, order)
    end)
  end)

  describe("what comes back", function()
    it("is there at once, also when it travels with others", function()
      local rounds, seen = 40, sk.Counter(0)
      local begun = core.now()
      local n = 0
      -- each item waits until the loop has seen the one before it
      for _ in open{ workers = 1, chunk = rounds }:imap(function(x)
        while seen.value < x - 1 do end
        local ends = core.now() + 3e-3
        while core.now() < ends do end
        return x
      end, numbers(rounds)) do
        n = n + 1
        seen:set(n)
      end
      -- a lost wake-up would cost 50 ms each time
      assert.is_true(core.now() - begun < 0.025 * rounds)
    end)

    it("and what was called is forgotten after the call", function()
      open{ workers = 1 }
      local function load_of(i)
        local ballast = ("x"):rep(1e6) .. i
        return function() return #ballast end
      end
      for i = 1, 30 do pool:map(load_of(i), { 1 }) end
      assert.is_nil(next(pool.by_id))
      assert.is_nil(pool.jobs[1])
      local kilobytes = pool:map(function()
        collectgarbage()
        collectgarbage()
        return collectgarbage "count"
      end, { 1 })[1]
      assert.is_true(kilobytes < collectgarbage "count" + 10000)
    end)

    it("is not kept by a loop that has yielded it", function()
      local weak = setmetatable({}, { __mode = "v" })
      local i = 0
      local next_value = open{ workers = 1, chunk = 1 }:imap(function(t)
        return { t[1] }
      end, function()
        i = i + 1
        local item = { i }
        weak[i] = item
        return item
      end)
      for _ = 1, 50 do next_value() end
      collectgarbage()
      collectgarbage()
      for k = 1, 40 do assert.is_nil(weak[k]) end
    end)
  end)

  describe("loops", function()
    it("keep the workers busy while results wait", function()
      local begun = sk.Counter(0)
      local next_value = open{ workers = 1, chunk = 1 }:imap(function(x)
        local ends = core.now() + 1e-3
        while core.now() < ends do end
        begun:increment()
        return x
      end, numbers(100))
      next_value()
      helper.wait_until(function() return begun.value >= 3 end)
      next_value()
      next_value() -- its result was there
      local before = begun.value
      next_value()
      helper.wait_until(function() return begun.value > before end)
    end)

    it("may be left early, and the pool used on", function()
      open()
      for v in pool:imap(double, numbers(1000)) do
        if v == 20 then break end
      end
      assert.is_truthy(pool:unordered_imap(double, numbers(1000))())
      assert.same({ 2, 4, n = 2 }, pool:map(double, { 1, 2 }))
    end)

    it("may be nested in one pool", function()
      local sums = {}
      for v in open():imap(double, { 1, 2, 3 }) do
        for w in pool:imap(double, { 10 }) do sums[#sums + 1] = v + w end
        sums[#sums + 1] = pool:map(double, { v })[1]
      end
      assert.same({ 22, 4, 24, 8, 26, 12 }, sums)
    end)

    it("may be driven by several coroutines", function()
      open()
      local got = {}
      local function loop(name)
        return coroutine.wrap(function()
          for v in pool:imap(double, { 1, 2, 3 }) do
            got[#got + 1] = name .. v
            coroutine.yield(true)
          end
        end)
      end
      local a, b = loop "a", loop "b"
      while a() and b() do end
      while a and b() do end
      assert.equal(6, #got)
    end)

    it("let the iterator of items use the pool itself", function()
      open()
      local i = 0
      local got = pool:map(double, function()
        i = i + 1
        if i <= 3 then return pool:map(double, { i })[1] end
      end)
      assert.same({ 4, 8, 12, n = 3 }, got)
    end)
  end)

  describe("star", function()
    it("unpacks each item", function()
      local function add(a, b) return a + b end
      assert.same({ 3, 7, n = 2 },
                  open():star():map(add, { { 1, 2 }, { 3, 4 } }))
    end)

    it("passes nils by n", function()
      local function count(...) return select("#", ...) end
      assert.same({ 3, 0, n = 2 }, open():star():map(count,
        { { nil, nil, nil, n = 3 }, {} }))
    end)

    it("names an item that is no table", function()
      local ok, err = pcall(open():star().map, pool:star(), double, { 5 })
      assert.is_false(ok)
      assert.is_true(sk.is(err, "TaskError"))
      assert.matches("must be a table, got number", tostring(err))
    end)

    it("does not change the pool that it views", function()
      open():star()
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  describe("progress", function()
    it("tells a function how far the call is", function()
      local last, total
      open():progress(function(done, all)
        assert.is_true(done >= (last or 0))
        last, total = done, all
      end):map(double, numbers(100))
      assert.equal(100, last)
      assert.equal(100, total)
    end)

    it("draws a bar and ends it", function()
      local bar = require "suitkaise.shared.bar"
      local new, calls = bar.new, {}
      function bar.new(stream, total)
        assert.equal(io.stderr, stream)
        assert.equal(3, total)
        return {
          update = function(_, done) calls[#calls + 1] = done end,
          finish = function() calls[#calls + 1] = "finish" end,
        }
      end
      open():progress():map(double, numbers(3))
      bar.new = new
      assert.equal(3, calls[#calls - 1])
      assert.equal("finish", calls[#calls])
    end)

    it("works in any order with star, and for loops", function()
      local last
      for _ in open():star():progress(function(done) last = done end)
                 :unordered_imap(double, { { 1 }, { 2 } }) do end
      assert.equal(2, last)
    end)
  end)

  describe("errors", function()
    it("of a function are TaskErrors with the item and the far traceback",
    function()
      local function fail(x)
        if x == 3 then error "kaput" end
        return x
      end
      open()
      local ok, err = pcall(function() return pool:map(fail, numbers(5)) end)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "TaskError"))
      assert.equal(3, err.index)
      assert.equal(3, err.item)
      assert.matches("pool_spec.lua:%d+: kaput", err.original_error)
      assert.matches("pool_spec.lua", err.traceback)
      assert.not_equal(sk.getpid(), err.pid)
      assert.matches("pool_spec.lua:%d+: TaskError: item 3", tostring(err))
    end)

    it("carry any value that was raised", function()
      open()
      local ok, err = pcall(pool.map, pool, function()
        error({ code = 42 })
      end, { 1 })
      assert.is_false(ok)
      assert.same({ code = 42 }, err.original_error)
    end)

    it("carry the text of a value that cannot travel", function()
      open()
      local _, err = pcall(pool.map, pool, function()
        error(coroutine.create(function() end))
      end, { 1 })
      assert.matches("^thread", err.original_error)
    end)

    it("do not lose the other items: all are done", function()
      local calls = sk.Counter(0)
      open()
      local ok, err = pcall(pool.map, pool, function(x)
        calls:increment()
        if x == 2 then error "no" end
        return x
      end, numbers(50))
      assert.is_false(ok)
      assert.equal(50, calls.value)
      assert.equal(50, err.results[50])
    end)

    it("of several items: the first item's is raised", function()
      open()
      local _, err = pcall(pool.map, pool, function(x)
        if x > 10 then error "late" end
        return x
      end, numbers(100))
      assert.equal(11, err.index)
    end)

    it("come in their place in a loop, which can go on", function()
      open()
      local next_value = pool:imap(function(x)
        if x == 2 then error "two" end
        return x
      end, { 1, 2, 3 })
      assert.equal(1, (next_value()))
      local ok, err = pcall(next_value)
      assert.is_false(ok)
      assert.equal(2, err.index)
      assert.equal(3, (next_value()))
      assert.is_nil((next_value()))
      assert.is_nil((next_value()))
    end)

    it("stand in the results with on_error = collect", function()
      local function fail_even(x)
        if x % 2 == 0 then error "even" end
        return x
      end
      open{ workers = 2, on_error = "collect" }
      local results = pool:map(fail_even, { 1, 2, 3, 4 })
      assert.equal(1, results[1])
      assert.is_true(sk.is(results[2], "TaskError"))
      assert.equal(4, results[4].index)
      local failures = 0
      for v in pool:unordered_imap(fail_even, { 1, 2, 3, 4 }) do
        if sk.is(v, "TaskError") then failures = failures + 1 end
      end
      assert.equal(2, failures)
    end)

    it("of a result that cannot travel are that item's", function()
      open()
      local next_value = pool:imap(function(x)
        if x == 1 then return coroutine.create(function() end) end
        return x
      end, { 1, 2 })
      local ok, err = pcall(next_value)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "TaskError"))
      assert.matches("coroutine", tostring(err))
      assert.equal(2, (next_value()))
    end)

    it("of an item that cannot travel name it, and leave the pool usable",
    function()
      open()
      local bad = { deep = coroutine.create(function() end) }
      local ok, err = pcall(pool.map, pool, double, { 1, 2, bad, 4 })
      assert.is_false(ok)
      assert.is_true(sk.is(err, "SerializationError"))
      assert.equal(3, err.index)
      assert.matches("items%[3%]", tostring(err))
      assert.matches("deep", tostring(err))
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)

    it("of a function that cannot travel name what it holds", function()
      open()
      local held = coroutine.create(function() end)
      local ok, err = pcall(pool.map, pool, function() return held end, { 1 })
      assert.is_false(ok)
      assert.is_true(sk.is(err, "SerializationError"))
      assert.matches("held", tostring(err))
    end)

    it("of the iterator are raised after the results before it", function()
      open()
      local i = 0
      local next_value = pool:imap(double, function()
        i = i + 1
        if i == 3 then error "source is dry" end
        return i
      end)
      assert.equal(2, (next_value()))
      assert.equal(4, (next_value()))
      local ok, err = pcall(next_value)
      assert.is_false(ok)
      assert.matches("source is dry", err)
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  describe("misuse", function()
    local function refused(pattern, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.matches(pattern, tostring(err))
      return err
    end

    it("of options names the nearest one, at the caller's line", function()
      local err = refused('unknown option "worker"; did you mean "workers"?',
                          function() sk.Pool{ worker = 2 } end)
      assert.matches("^[^\n]*pool_spec.lua:%d+: ArgumentError", tostring(err))
      refused("workers must be .* got 0", sk.Pool, { workers = 0 })
      refused("workers must be .* got 1.5", sk.Pool, { workers = 1.5 })
      refused("workers must be .* got 100000", sk.Pool, { workers = 100000 })
      refused('chunk must be .* got "big"', sk.Pool, { chunk = "big" })
      refused("on_error must be", sk.Pool, { on_error = "ignore" })
      refused("options must be a table, got 3", sk.Pool, 3)
    end)

    it("of arguments names them", function()
      open()
      refused("Pool:map: fn must be a function, got 5", pool.map, pool, 5, {})
      refused("Pool:map: items must be an array or an iterator, got nil",
              pool.map, pool, double)
      refused("Pool:imap: items must be .* got true", pool.imap, pool, double,
              true)
      refused("Pool:timeout: seconds must be .* got %-1", pool.timeout, pool,
              -1)
      refused('Pool:progress: show must be .* got "x"', pool.progress, pool,
              "x")
      refused("Pool:close: timeout must be .* got true", pool.close, pool,
              true)
      local err = refused("map", function() pool:map(nil, {}) end)
      assert.matches("^[^\n]*pool_spec.lua:%d+: ", tostring(err))
    end)

    it("after close or terminate says so", function()
      open():close()
      local err = refused("the pool is closed", pool.map, pool, double, { 1 })
      assert.is_true(sk.is(err, "ClosedError"))
      pool:close()
      pool:terminate()
    end)

    it("of a loop whose pool was closed says so", function()
      open()
      local next_value = pool:imap(double, numbers(10))
      next_value()
      pool:close()
      refused("closed", next_value)
    end)

    it("of a pool in a child that did not make it says so", function()
      open()
      helper.in_child(function()
        local ok, err = pcall(pool.map, pool, double, { 1 })
        assert(not ok and sk.is(err, "ClosedError"), tostring(err))
        assert(tostring(err):find "another process")
      end)
      local own = pool
      local results = pool:map(function()
        return select(2, pcall(own.map, own, print, { 1 })).message
      end, { 1 })
      assert.matches("belongs to another process", results[1])
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end)
  end)

  it("can be used inside a worker of another pool", function()
    local sums = open():map(function(x)
      local inner = require "suitkaise".Pool{ workers = 2 }
      local squares = inner:map(function(y) return y * y end, { x, x + 1 })
      inner:close()
      return squares[1] + squares[2]
    end, { 1, 2, 3 })
    assert.same({ 5, 13, 25, n = 3 }, sums)
  end)

  it("is of class Pool and says how many workers it has", function()
    open{ workers = 3 }
    assert.is_true(sk.is(pool, "Pool"))
    assert.equal("Pool: 3 workers", tostring(pool))
    pool:close()
    assert.equal("Pool: 3 workers, closed", tostring(pool))
  end)

  it("has as many workers as there are processors if not told", function()
    pool = sk.Pool()
    assert.equal(sk.cpu_count(), pool.workers)
  end)

  it("is ended by the collector when nobody holds it", function()
    sk.Pool{ workers = 2 }:map(double, { 1 })
    helper.nothing_left()
  end)
end)
