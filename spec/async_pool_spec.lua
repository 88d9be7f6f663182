-- Pool, Flag and Progress for tasks, and TaskPool: the same results and
-- errors as the blocking faces, and nothing blocks the loop meanwhile.

local async_helper = require "spec.async_helper"
local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, settle = async_helper.run, async_helper.settle

local SIGKILL, SIGSTOP = 9, 19

local function numbers(n)
  local t = {}
  for i = 1, n do t[i] = i end
  return t
end

local function double(x) return x * 2 end

local function caught(fn, ...)
  local ok, err = async.pcall(fn, ...)
  assert.is_false(ok)
  return err
end

-- Results of a loop, by calling its iterator: a `for` cannot wait on 5.1.
local function collect(iterator)
  local t = {}
  local value, index = iterator()
  while value ~= nil do
    t[#t + 1] = { value, index }
    value, index = iterator()
  end
  return t
end

-- Counts how often other tasks ran while fn did.
local function beats_during(fn)
  local beats, is_over = 0, false
  async.spawn(function()
    while not is_over do async.sleep(0.001) beats = beats + 1 end
  end)
  async.sleep(0)
  local result = fn()
  is_over = true
  return beats, result
end

local function rest(x)
  require "suitkaise.core".wait({}, {}, "eager", 0.03)
  return x
end

describe("async.Pool", function()
  local pool

  -- Run a test in a task with a pool.
  local function with_pool(options, test)
    return function()
      run(function()
        pool = async.Pool(options)
        local ok, err = async.pcall(test)
        pool:terminate()
        if not ok then error(err, 0) end
      end)
    end
  end

  after_each(helper.nothing_left)

  it("maps, and other tasks run meanwhile", with_pool({ workers = 2 },
    function()
      local beats, results = beats_during(function()
        return pool:map(rest, numbers(4))
      end)
      assert.same({ 1, 2, 3, 4, n = 4 }, results)
      assert.is_true(beats >= 1)
    end))

  it("carries large items and results", with_pool({ workers = 2 }, function()
    local size = 3e6
    local results = pool:map(function(s) return s .. "!" end,
                             { ("a"):rep(size), "b" })
    assert.equal(size + 1, #results[1])
    assert.equal("b!", results[2])
  end))

  it("has the other verbs and modifiers", with_pool({ workers = 2 }, function()
    local seen = {}
    local sums = pool:star():progress(function(done, total)
      seen[#seen + 1] = done .. "/" .. total
    end):timeout(20):map(function(a, b) return a + b end,
                         { { 1, 2 }, { 3, 4 } })
    assert.same({ 3, 7, n = 2 }, sums)
    assert.equal("2/2", seen[#seen])
    local unordered = pool:unordered_map(double, numbers(50))
    table.sort(unordered)
    assert.equal(100, unordered[50])
    for _, mode in ipairs { "imap", "unordered_imap" } do
      local pairs_seen = collect(pool[mode](pool, double, numbers(100)))
      assert.equal(100, #pairs_seen)
      for i, pair in ipairs(pairs_seen) do
        assert.equal(pair[1], 2 * pair[2])
        if mode == "imap" then assert.equal(i, pair[2]) end
      end
    end
  end))

  it("loops in a for over an endless source", with_pool({ workers = 2 },
    function()
      local i, sum = 0, 0
      local function source() i = i + 1 return i end
      for value in pool:imap(double, source) do
        sum = sum + value
        if value == 100 then break end
      end
      assert.equal(2550, sum)
      assert.is_true(i < 5000)
    end))

  it("yields in loops too", with_pool({ workers = 1 }, function()
    if not async_helper.loops_wait then return end
    local beats = beats_during(function()
      for _ in pool:imap(rest, numbers(2)) do end
    end)
    assert.is_true(beats >= 1)
  end))

  it("serves many tasks at once", with_pool({ workers = 2 }, function()
    local tasks = {}
    for i = 1, 100 do
      tasks[i] = async.spawn(function()
        local sum = 0
        for k = 1, 5 do sum = sum + pool:map(double, { i, k })[1] end
        return sum
      end)
    end
    local results = async.gather(tasks)
    for i = 1, 100 do assert.equal(10 * i, results[i]) end
  end))

  it("raises the errors of items like the blocking face",
    with_pool({ workers = 2 }, function()
      local err = caught(pool.map, pool, function(x)
        if x == 2 then error({ code = 7 }) end
        return x
      end, numbers(3))
      assert.is_true(sk.is(err, "TaskError"))
      assert.equal(2, err.index)
      assert.equal(7, err.original_error.code)
      assert.equal(3, err.results[3])
    end))

  it("replaces a worker that is killed", with_pool({ workers = 2 }, function()
    local err = caught(pool.map, pool, function(x)
      if x == 3 then
        local file = io.open("/proc/self/stat")
        local pid = file:read("*n")
        file:close()
        os.execute("kill -9 " .. pid)
      end
      return x
    end, numbers(6))
    assert.is_true(sk.is(err.original_error, "WorkerDiedError"))
    assert.equal(SIGKILL, err.original_error.signal)
    assert.equal(6, err.results[6])
    assert.same({ 2, 4, n = 2 }, pool:map(double, { 1, 2 }))
  end))

  it("notices at once when an idle loop's worker dies",
    with_pool({ workers = 1, retries = 1 }, function()
      local begun = core.now()
      local pid = pool:map(function()
        return require "suitkaise".getpid()
      end, { 1 })[1]
      local task = async.spawn(function() return pool:map(rest, { 5 }) end)
      async.sleep(0.01)
      os.execute("kill -9 " .. pid)
      assert.equal(5, task:await(10)[1])
      assert.is_true(core.now() - begun < 10)
    end))

  it("ends a call that is late, a stopped worker too",
    with_pool({ workers = 2 }, function()
      local beats = beats_during(function()
        local err = caught(function()
          return pool:timeout(0.05):map(function()
            while true do end
          end, { 1 })
        end)
        assert.is_true(sk.is(err, "ResultTimeoutError"))
      end)
      assert.is_true(beats >= 1)
      local pids = pool:map(function()
        return require "suitkaise".getpid()
      end, numbers(20))
      os.execute("kill -" .. SIGSTOP .. " " .. pids[1])
      assert.is_true(sk.is(caught(function()
        return pool:timeout(0.1):map(rest, numbers(8))
      end), "ResultTimeoutError"))
      assert.same({ 2, n = 1 }, pool:map(double, { 1 }))
    end))

  it("gives up a call whose task is cancelled, and works on",
    with_pool({ workers = 2, chunk = 1 }, function()
      local done = sk.Counter(0)
      local task = async.spawn(function()
        return pool:map(function(x)
          rest(x)
          done:increment()
        end, numbers(1000))
      end)
      async.sleep(0.02)
      task:cancel()
      assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
      assert.same({ 2, 4, n = 2 }, pool:map(double, { 1, 2 }))
      assert.is_true(done.value < 100)
    end))

  it("ends the calls of other tasks when it is closed",
    with_pool({ workers = 1 }, function()
      local task = async.spawn(pool.map, pool, rest, numbers(100))
      async.sleep(0.01)
      local beats = beats_during(function() pool:close() end)
      assert.is_true(sk.is(caught(task.await, task), "ClosedError"))
      assert.is_true(beats >= 1)
      assert.is_true(sk.is(caught(pool.map, pool, double, {}), "ClosedError"))
    end))

  it("lets the iterator of the items wait", with_pool({ workers = 1 },
    function()
      local i = 0
      local results = pool:map(double, function()
        async.sleep(0.001)
        i = i + 1
        if i <= 5 then return i end
      end)
      assert.same({ 2, 4, 6, 8, 10, n = 5 }, results)
    end))

  it("is a modifier of an ordinary pool as well", function()
    local plain = sk.Pool{ workers = 1 }
    run(function()
      local beats, results = beats_during(function()
        return plain:asynced():star():map(function(x)
          require "suitkaise.core".wait({}, {}, "eager", 0.03)
          return x
        end, { { 1 } })
      end)
      assert.same({ 1, n = 1 }, results)
      assert.is_true(beats >= 1)
    end)
    assert.same({ 2, n = 1 }, plain:map(double, { 1 }))
    plain:close()
  end)

  it("can be used beside a blocking call of the same pool",
    with_pool({ workers = 2, chunk = 1 }, function()
      local plain = sk.Pool{ workers = 1 }
      local task = async.spawn(function() return pool:map(rest, numbers(4)) end)
      async.sleep(0.005)
      assert.equal(10, plain:map(double, numbers(5))[5]) -- stops the loop
      assert.same({ 1, 2, 3, 4, n = 4 }, task:await(20))
      plain:close()
    end))

  it("refuses calls outside of tasks", function()
    local other = async.Pool{ workers = 1 }
    local ok, err = pcall(other.map, other, double, { 1 })
    assert.is_false(ok)
    assert.matches("outside of a task", tostring(err))
    other:terminate()
  end)
end)

describe("Flag and Progress in tasks", function()
  after_each(helper.nothing_left)

  it("wait for another process while other tasks run", function()
    run(function()
      local flag, go = sk.Flag(), sk.Flag()
      local child = helper.fork(function()
        go:wait(20)
        flag:set()
      end)
      local beats = beats_during(function()
        async.spawn(function() async.sleep(0.02) go:set() end)
        assert(flag:asynced():wait(20) == true)
      end)
      assert.is_true(beats >= 1)
      assert.equal(0, (child:finish()))
    end)
  end)

  it("are woken in a child by its parent", function()
    run(function()
      local flag, waits, heard = sk.Flag(), sk.Flag(), sk.Flag()
      local child = helper.fork(function()
        async.run(function()
          async.spawn(function() waits:set() end)
          assert(flag:asynced():wait(20))
          heard:set()
        end)
      end)
      assert.is_true(waits:asynced():wait(20))
      flag:set()
      assert.is_true(heard:asynced():wait(20))
      assert.equal(0, (child:finish()))
    end)
  end)

  it("wake all tasks that wait, and blocked processes too", function()
    run(function()
      local flag, woken, ready = sk.Flag(), 0, sk.Counter(0)
      local child = helper.fork(function()
        ready:increment()
        assert(flag:wait(20))
      end)
      local tasks = {}
      for i = 1, 5 do
        tasks[i] = async.spawn(function()
          assert(flag:asynced():wait())
          woken = woken + 1
        end)
      end
      async_helper.wait_until(function() return ready.value == 1 end)
      child:until_asleep()
      settle()
      flag:set()
      async.gather(tasks)
      assert.equal(5, woken)
      assert.equal(0, (child:finish()))
    end)
  end)

  it("look only with a timeout of 0, and give up in time", function()
    run(function()
      local flag = sk.Flag()
      assert.is_false(flag:asynced():wait(0))
      assert.is_false(flag:asynced():wait(0.01))
      flag:set()
      assert.is_true(flag:asynced():wait(0))
      assert.is_true(flag:asynced():wait())
    end)
  end)

  it("are not slept over when it changes at any moment", function()
    run(function()
      for _ = 1, 200 do
        local flag, ready = sk.Flag(), sk.Flag()
        local setter = async.spawn(function() flag:set() end)
        assert(flag:asynced():wait(20))
        setter:await()
        ready:set()
      end
      -- and by a process that sets at its own pace
      local turn, answer = sk.Counter(0), {}
      for i = 1, 50 do answer[i] = sk.Flag() end
      local child = helper.fork(function()
        for i = 1, 50 do
          answer[i]:set()
          turn:increment()
        end
      end)
      for i = 1, 50 do assert(answer[i]:asynced():wait(20)) end
      assert.equal(0, (child:finish()))
    end)
  end)

  it("can be cancelled", function()
    run(function()
      local flag = sk.Flag()
      local task = async.spawn(function() flag:asynced():wait() end)
      settle()
      task:cancel()
      assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
    end)
  end)

  it("wait for a Progress that a pool completes", function()
    run(function()
      local progress = sk.Progress(20)
      local pool = async.Pool{ workers = 2 }
      local map = async.spawn(function()
        pool:map(function() progress:increment() end, numbers(20))
      end)
      assert.is_true(progress:asynced():wait(20))
      map:await()
      pool:close()
      assert.is_true(progress.is_complete)
    end)
  end)

  it("refuse a bad timeout", function()
    run(function()
      local err = caught(function() sk.Flag():asynced():wait(-1) end)
      assert.is_true(sk.is(err, "ArgumentError"))
      assert.matches("async_pool_spec", err.where)
    end)
  end)
end)

describe("async.TaskPool", function()
  after_each(helper.nothing_left)

  local function sleepy(x)
    async.sleep(0.001 * (x % 3))
    return x * 2
  end

  it("maps with so many tasks at a time, over all calls", function()
    run(function()
      local pool, inside, peak = async.TaskPool{ max_concurrent = 4 }, 0, 0
      local function call()
        return pool:map(function(x)
          inside = inside + 1
          peak = math.max(peak, inside)
          async.sleep(0.001)
          inside = inside - 1
          return x * 2
        end, numbers(20))
      end
      local a, b = async.gather(call, call)
      for i = 1, 20 do
        assert.equal(2 * i, a[i])
        assert.equal(2 * i, b[i])
      end
      assert.equal(4, peak)
    end)
  end)

  it("keeps order, nils and n; takes iterators that wait", function()
    run(function()
      local pool, i = async.TaskPool{ max_concurrent = 3 }, 0
      local results = pool:map(function(x)
        if x == 2 then return nil end
        return sleepy(x)
      end, function()
        async.sleep(0)
        i = i + 1
        if i <= 4 then return i end
      end)
      assert.same({ 2, nil, 6, 8, n = 4 }, results)
      assert.same({ n = 0 }, pool:map(sleepy, {}))
    end)
  end)

  it("loops in order or as they are done", function()
    run(function()
      local pool = async.TaskPool{ max_concurrent = 5 }
      local ordered = collect(pool:imap(sleepy, numbers(30)))
      for i = 1, 30 do assert.same({ 2 * i, i }, ordered[i]) end
      local any = collect(pool:unordered_imap(function(x)
        async.sleep(x == 1 and 0.02 or 0)
        return x
      end, { 1, 2, 3 }))
      assert.equal(1, any[3][1])
    end)
  end)

  it("reads an endless source only a bounded distance ahead", function()
    run(function()
      local pool, pulled = async.TaskPool{ max_concurrent = 2 }, 0
      local iterator = pool:imap(sleepy, function()
        pulled = pulled + 1
        return pulled
      end)
      for i = 1, 10 do assert.equal(2 * i, (iterator())) end
      async.sleep(0.02)
      assert.is_true(pulled <= 10 + 2 * 4 + 2)
    end)
  end)

  it("has the errors of Pool", function()
    run(function()
      local pool = async.TaskPool{ max_concurrent = 2 }
      local function bad(x)
        async.sleep(0)
        if x == 2 then error({ code = 9 }) end
        return x
      end
      local err = caught(pool.map, pool, bad, numbers(3))
      assert.is_true(sk.is(err, "TaskError"))
      assert.equal(2, err.index)
      assert.equal(9, err.original_error.code)
      assert.matches("async_pool_spec", err.traceback)
      assert.equal(3, err.results[3])
      local iterator = pool:imap(bad, numbers(3))
      assert.equal(1, (iterator()))
      assert.equal(2, caught(iterator).index)
      assert.equal(3, (iterator()))
      local collecting = async.TaskPool{ on_error = "collect" }
      assert.is_true(sk.is(collecting:map(bad, numbers(3))[2], "TaskError"))
    end)
  end)

  it("unpacks items with star and starmap", function()
    run(function()
      local pool = async.TaskPool()
      local function add(a, b) async.sleep(0) return a + b end
      assert.same({ 3, 7, n = 2 }, pool:starmap(add, { { 1, 2 }, { 3, 4 } }))
      assert.same({ 3, n = 1 }, pool:star():map(add, { { 1, 2 } }))
      assert.same({ 3, n = 1 }, pool:timeout(20):starmap(add, { { 1, 2 } }))
      local err = caught(pool.starmap, pool, add, { 5 })
      assert.equal("star: item must be a table, got 5", err.original_error)
    end)
  end)

  it("limits the time of a map, and of each item of a loop", function()
    run(function()
      local pool, left = async.TaskPool{ max_concurrent = 2 }, 0
      local function slow(x)
        if x ~= 2 then return x end
        local _, err = async.pcall(async.sleep, 60)
        left = left + 1
        error(err, 0)
      end
      assert.is_true(sk.is(caught(function()
        return pool:timeout(0.01):map(slow, numbers(3))
      end), "ResultTimeoutError"))
      assert.equal(1, left)
      local iterator = pool:timeout(0.01):imap(slow, numbers(3))
      assert.equal(1, (iterator()))
      local err = caught(iterator)
      assert.is_true(sk.is(err.original_error, "ResultTimeoutError"))
      assert.equal("no result within 0.01 s", err.original_error.message)
      assert.equal(3, (iterator()))
    end)
  end)

  it("shows progress", function()
    run(function()
      local seen = {}
      async.TaskPool{ max_concurrent = 1 }:progress(function(done, total)
        seen[#seen + 1] = done
        assert(total == 3)
      end):map(sleepy, numbers(3))
      assert.equal(3, seen[#seen])
    end)
  end)

  it("cancels its tasks with the call, and when it is closed", function()
    run(function()
      local pool, ended = async.TaskPool{ max_concurrent = 3 }, 0
      local function stuck()
        local _, err = async.pcall(async.sleep, 60)
        ended = ended + 1
        error(err, 0)
      end
      local call = async.spawn(function() pool:map(stuck, numbers(5)) end)
      async.sleep(0.002)
      call:cancel()
      assert.is_true(sk.is(caught(call.await, call), "CancelledError"))
      assert.equal(3, ended)
      call = async.spawn(function() pool:map(stuck, numbers(5)) end)
      async.sleep(0.002)
      pool:close()
      assert.is_true(sk.is(caught(call.await, call), "ClosedError"))
      assert.equal(6, ended)
      assert.is_true(sk.is(caught(pool.map, pool, stuck, {}), "ClosedError"))
    end)
  end)

  it("refuses bad options and calls outside of tasks", function()
    for _, bad in ipairs { { max_concurrent = 0 }, { on_error = "x" },
                           { max_concurent = 3 } } do
      local ok, err = pcall(async.TaskPool, bad)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ArgumentError"))
    end
    local pool = async.TaskPool()
    local ok, err = pcall(pool.map, pool, sleepy, { 1 })
    assert.is_false(ok)
    assert.matches("TaskPool:map: called outside of a task", tostring(err), 1,
                   true)
  end)

  it("has its own name in all that it says", function()
    local pool = async.TaskPool()
    local function said(expected, name, ...)
      local err = caught(pool[name], ...)
      assert.is_true(sk.is(err, "ArgumentError"))
      assert.equal(("TaskPool:%s: %s"):format(name, expected), err.message)
    end
    for _, name in ipairs { "map", "unordered_map", "imap", "unordered_imap",
                            "star", "progress", "timeout", "close",
                            "terminate", "starmap" } do
      said("self must be a TaskPool (call it with a colon), got 5", name, 5)
    end
    said("seconds must be a number of seconds above 0, got -1", "timeout",
         pool, -1)
    said("show must be true, false or a function, got 5", "progress", pool, 5)
    said("timeout must be a number of seconds of at least 0, got -1", "close",
         pool, -1)
  end)
end)
