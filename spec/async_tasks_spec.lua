-- What tasks promise: results, waits, cancellation, errors, many of them.

local async_helper = require "spec.async_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, settle = async_helper.run, async_helper.settle
local unpack = table.unpack or rawget(_G, "unpack")

local function pack(...) return { n = select("#", ...), ... } end

-- The error that fn raises in a task.
local function caught(fn, ...)
  local ok, err = async.pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function cancelled(task)
  return sk.is(caught(task.await, task), "CancelledError")
end

local function forever() async.Event():wait() end

describe("async tasks", function()
  after_each(helper.nothing_left)

  describe("run", function()
    it("returns what main returns, nils too", function()
      assert.same({ n = 3, 1, nil, nil },
                  pack(async.run(function(...) return ... end, 1, nil, nil)))
      assert.equal(0, select("#", async.run(function() end)))
    end)

    it("raises what main raises, unchanged", function()
      local value = { "any value" }
      local ok, err = pcall(async.run, function() error(value) end)
      assert.is_false(ok)
      assert.equal(value, err)
    end)

    it("cancels the tasks that main left, and waits for them", function()
      local cleaned
      async.run(function()
        async.spawn(function()
          async.pcall(async.sleep, 60)
          async.sleep(0.001)
          cleaned = true
        end)
        async.sleep(0)
      end)
      assert.is_true(cleaned)
    end)

    it("says so when all wait for nothing", function()
      local ok, err = pcall(async.run, forever)
      assert.is_false(ok)
      assert.matches("nobody will do", tostring(err))
    end)

    it("refuses to run inside itself", function()
      local err = run(function() return caught(async.run, forever) end)
      assert.matches("the loop turns already", tostring(err))
    end)

    it("refuses what cannot be called, at the caller's line", function()
      local ok, err = pcall(async.run, 42)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ArgumentError"))
      assert.matches("async_tasks_spec.lua:%d+: .*got 42", tostring(err))
    end)
  end)

  describe("spawn and await", function()
    it("carry arguments and results of every number", function()
      run(function()
        for n = 0, 4 do
          local args = {}
          for i = 1, n do args[i] = i end
          local task = async.spawn(function(...)
            return select("#", ...), ...
          end, unpack(args, 1, n))
          assert.same(pack(n, unpack(args, 1, n)), pack(task:await()))
          assert.same(pack(n, unpack(args, 1, n)), pack(task:result()))
        end
      end)
    end)

    it("call a callable table", function()
      local callable = setmetatable({}, {
        __call = function(_, x) return x + 1 end,
      })
      assert.equal(8, run(function()
        return async.spawn(callable, 7):await()
      end))
    end)

    it("start a task only when its maker waits", function()
      local order = {}
      run(function()
        local task = async.spawn(function() order[#order + 1] = "task" end)
        order[#order + 1] = "maker"
        assert.is_false(task:done())
        task:await()
        assert.is_true(task:done())
      end)
      assert.same({ "maker", "task" }, order)
    end)

    it("let many wait for one", function()
      run(function()
        local task = async.spawn(function() async.sleep(0.002) return 5 end)
        local sum = 0
        local waiters = {}
        for i = 1, 10 do
          waiters[i] = async.spawn(function()
            local value = task:await()
            sum = sum + value
          end)
        end
        async.gather(waiters)
        assert.equal(50, sum)
      end)
    end)

    it("raise the task's error in each who waits", function()
      run(function()
        local task = async.spawn(function() error("no", 0) end)
        assert.equal("no", caught(task.await, task))
        assert.equal("no", caught(task.await, task))
        assert.equal("no", caught(task.result, task))
      end)
    end)

    it("carry nil as an error", function()
      run(function()
        local task = async.spawn(function() error(nil) end)
        local ok = async.pcall(task.await, task)
        assert.is_false(ok)
      end)
    end)

    it("give up after the timeout, and the task goes on", function()
      run(function()
        local event = async.Event()
        local task = async.spawn(function() event:wait() return 1 end)
        local err = caught(task.await, task, 0.005)
        assert.is_true(sk.is(err, "ResultTimeoutError"))
        assert.equal(0.005, err.timeout)
        assert.is_true(sk.is(caught(task.await, task, 0), "ResultTimeoutError"))
        event:set()
        assert.equal(1, task:await(10))
        assert.equal(1, task:await(0))
      end)
    end)

    it("refuse a wait for oneself", function()
      local message = run(function()
        return tostring(caught(function() async.current():await() end))
      end)
      assert.matches("cannot wait for itself", message)
    end)

    it("refuse a bad timeout and a wait outside of tasks", function()
      run(function()
        local task = async.spawn(forever)
        for _, bad in ipairs { -1, "1", 0 / 0 } do
          assert.is_true(sk.is(caught(task.await, task, bad), "ArgumentError"))
        end
      end)
      local ok, err = pcall(async.sleep, 1)
      assert.is_false(ok)
      assert.matches("outside of a task", tostring(err))
    end)

    it("refuse to wait in a coroutine inside a task", function()
      local message = run(function()
        local co = coroutine.create(function() async.sleep(0.001) end)
        local _, err = coroutine.resume(co)
        return tostring(err)
      end)
      assert.matches("a coroutine of its own inside a task", message)
    end)

    it("end a task that yields by itself with an error", function()
      local message = run(function()
        local task = async.spawn(function() coroutine.yield(1) end)
        return tostring(caught(task.await, task))
      end)
      assert.matches("coroutine.yield", message)
    end)

    it("call on_done functions once, at the end or at once", function()
      run(function()
        local calls = {}
        local task = async.spawn(function() return 1 end)
        task:on_done(function(t) calls[#calls + 1] = t end)
        task:on_done(function(t) calls[#calls + 1] = t end)
        task:await()
        task:on_done(function(t) calls[#calls + 1] = t end)
        assert.same({ task, task, task }, calls)
      end)
    end)

    it("give the result outside of tasks, turning the loop", function()
      local task = async.spawn(function() async.sleep(0.002) return 1, 2 end)
      assert.same({ 1, 2, n = 2 }, pack(task:result(20)))
      local stuck = async.spawn(forever)
      local ok, err = pcall(stuck.result, stuck, 0.01)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ResultTimeoutError"))
      stuck:cancel()
      pcall(stuck.result, stuck)
    end)
  end)

  describe("sleep", function()
    it("is never shorter than asked", function()
      run(function()
        for _, seconds in ipairs { 0.0003, 0.001, 0.0025, 0.01 } do
          local begun = async.now()
          async.sleep(seconds)
          assert.is_true(async.now() - begun >= seconds)
        end
      end)
    end)

    it("wakes sleepers in the order of their ends", function()
      run(function()
        local order, tasks = {}, {}
        for i = 1, 50 do
          local ms = (i * 37) % 50
          tasks[i] = async.spawn(function()
            async.sleep(0.005 + ms / 1000)
            order[#order + 1] = ms
          end)
        end
        async.gather(tasks)
        for i = 2, 50 do assert.is_true(order[i - 1] <= order[i]) end
      end)
    end)

    it("of zero lets all others run that are ready", function()
      run(function()
        local count = 0
        for _ = 1, 10 do
          async.spawn(function() count = count + 1 end)
        end
        async.sleep(0)
        assert.equal(10, count)
      end)
    end)

    it("refuses bad times", function()
      run(function()
        for _, bad in ipairs { -1, "x", 0 / 0, {} } do
          assert.is_true(sk.is(caught(async.sleep, bad), "ArgumentError"))
        end
        assert.is_true(sk.is(caught(async.sleep), "ArgumentError"))
      end)
    end)
  end)

  describe("cancel", function()
    it("raises in the task where it waits", function()
      run(function()
        local seen
        local task = async.spawn(function()
          local _, err = async.pcall(async.sleep, 60)
          seen = err
          error(err, 0)
        end)
        async.sleep(0)
        assert.is_true(task:cancel())
        assert.is_true(cancelled(task))
        assert.is_true(sk.is(seen, "CancelledError"))
        assert.is_false(task:cancel())
      end)
    end)

    it("ends a task that has not begun without running it", function()
      run(function()
        local has_run = false
        local task = async.spawn(function() has_run = true end)
        task:cancel()
        assert.is_true(task:done())
        settle()
        assert.is_false(has_run)
        assert.is_true(cancelled(task))
      end)
    end)

    it("lets the task clean up, with waits", function()
      run(function()
        local steps = {}
        local task = async.spawn(function()
          local ok, err = async.pcall(forever)
          steps[1] = ok
          async.sleep(0.005)
          steps[2] = "closed"
          error(err, 0)
        end)
        async.sleep(0)
        task:cancel()
        assert.is_true(cancelled(task))
        assert.same({ false, "closed" }, steps)
      end)
    end)

    it("lets a task that caught it return a value", function()
      run(function()
        local task = async.spawn(function()
          async.pcall(forever)
          return "partial"
        end)
        async.sleep(0)
        task:cancel()
        assert.equal("partial", task:await())
      end)
    end)

    it("cannot be swallowed for ever, and others run meanwhile", function()
      run(function()
        local rounds, beats = 0, 0
        local task = async.spawn(function()
          while true do
            async.pcall(async.sleep, 10)
            rounds = rounds + 1
          end
        end)
        async.spawn(function()
          while not task:done() do async.sleep(0.001) beats = beats + 1 end
        end)
        async.sleep(0)
        task:cancel()
        assert.is_true(cancelled(task))
        assert.is_true(rounds > 1 and beats > 10)
      end)
    end)

    it("a second time raises at once again", function()
      run(function()
        local raised = 0
        local task = async.spawn(function()
          for _ = 1, 2 do
            if not async.pcall(async.sleep, 60) then raised = raised + 1 end
          end
        end)
        async.sleep(0)
        task:cancel()
        settle()
        assert.equal(1, raised)
        task:cancel()
        task:await()
        assert.equal(2, raised)
      end)
    end)

    it("of itself raises at the next wait", function()
      run(function()
        local reached = false
        local task = async.spawn(function()
          async.current():cancel()
          reached = true
          async.sleep(0)
          reached = "too far"
        end)
        assert.is_true(cancelled(task))
        assert.is_true(reached)
      end)
    end)

    it("of one who waits leaves the task that is waited for", function()
      run(function()
        local event = async.Event()
        local task = async.spawn(function() event:wait() return 3 end)
        local waiter = async.spawn(task.await, task)
        async.sleep(0)
        waiter:cancel()
        assert.is_true(cancelled(waiter))
        event:set()
        assert.equal(3, task:await())
      end)
    end)

    it("says where the task waited", function()
      local full = async.Queue(1)
      full:put(1)
      local taken = async.Lock()
      taken:acquire()
      run(function()
        local here = debug.getinfo(1, "l").currentline
        for i, wait in ipairs {
          function() local t = async.sleep(60) return t end,
          function() local ok = taken:acquire() return ok end,
          function() local ok = full:put(2) return ok end,
          function() local v = async.Queue():get() return v end,
          function() local v = async.spawn(forever):await() return v end,
          function() local v = async.call(function() end) return v end,
          function() local v = async.gather(forever) return v end,
          function() local v = sk.Flag():asynced():wait() return v end,
        } do
          local task = async.spawn(wait)
          settle()
          task:cancel()
          assert.equal("./spec/async_tasks_spec.lua:" .. here + 1 + i,
                       "./" .. caught(task.await, task).where:gsub("^%./", ""))
        end
      end)
    end)

    it("makes no traceback, which takes long where there are many", function()
      assert.equal("0\n", helper.run [[
        local n, traceback = 0, debug.traceback
        function debug.traceback(...) n = n + 1 return traceback(...) end
        local async = require "suitkaise".async
        async.run(function()
          local tasks = {}
          for i = 1, 10 do tasks[i] = async.spawn(async.sleep, 60) end
          async.sleep(0)
          for i = 1, 10 do tasks[i]:cancel() end
          for i = 1, 10 do async.pcall(tasks[i].await, tasks[i]) end
        end)
        print(n)]])
    end)
  end)

  describe("errors that nobody waits for", function()
    local reports

    before_each(function()
      reports = {}
      async.on_unhandled(function(err, traceback)
        reports[#reports + 1] = { err, traceback }
      end)
    end)

    after_each(function() async.on_unhandled(nil) end)

    it("are reported once, with the task's traceback", function()
      run(function()
        async.spawn(function()
          local function deep() async.sleep(0.001) error("lost", 0) end
          deep()
        end)
        async.sleep(0.005)
      end)
      collectgarbage()
      collectgarbage()
      assert.equal(1, #reports)
      assert.equal("lost", reports[1][1])
      assert.matches("async_tasks_spec.lua", reports[1][2])
      assert.matches("deep", reports[1][2])
    end)

    it("are reported while the loop runs, when the task is garbage", function()
      run(function()
        async.spawn(function() error("early", 0) end)
        async_helper.wait_until(function()
          collectgarbage()
          return reports[1]
        end)
      end)
      assert.equal(1, #reports)
    end)

    it("are not when somebody asks later", function()
      run(function()
        local task = async.spawn(function() error("asked", 0) end)
        settle()
        assert.equal("asked", caught(task.result, task))
      end)
      assert.same({}, reports)
    end)

    it("are not for tasks that were cancelled", function()
      run(function() async.spawn(forever) async.sleep(0) end)
      assert.same({}, reports)
    end)

    it("go to stderr when there is no handler", function()
      local output = helper.run [[
        local async = require "suitkaise".async
        async.run(function()
          async.spawn(function() error "unseen" end)
          async.sleep(0.001)
        end)
      ]]
      assert.matches("nobody waits for: .*unseen", output)
      assert.matches("traceback", output)
    end)
  end)

  describe("gather", function()
    it("returns the first result of each, in order", function()
      run(function()
        local function after(ms, value)
          return function() async.sleep(ms / 1000) return value, "more" end
        end
        assert.same({ "a", "b", "c", n = 3 },
                    pack(async.gather(after(6, "a"), after(2, "b"),
                                      async.spawn(after(4, "c")))))
        assert.equal(0, select("#", async.gather()))
        assert.same({ 1, nil, 3, n = 3 }, async.gather{
          after(1, 1), function() end, after(0, 3),
        })
      end)
    end)

    it("cancels the rest at the first error, and waits for them", function()
      run(function()
        local cleaned = false
        local slow = async.spawn(function()
          async.pcall(forever)
          async.sleep(0.002)
          cleaned = true
        end)
        local err = caught(async.gather, slow, function()
          async.sleep(0.001)
          error("first", 0)
        end)
        assert.equal("first", err)
        assert.is_true(cleaned and slow:done())
      end)
    end)

    it("cancels all when it is cancelled itself", function()
      run(function()
        local a, b = async.spawn(forever), async.spawn(forever)
        local all = async.spawn(async.gather, a, b)
        settle()
        all:cancel()
        assert.is_true(cancelled(all))
        assert.is_true(a:done() and b:done())
      end)
    end)

    it("refuses what is no task", function()
      run(function()
        assert.is_true(sk.is(caught(async.gather, 5), "ArgumentError"))
        assert.is_true(sk.is(caught(async.race), "ArgumentError"))
      end)
    end)
  end)

  describe("race", function()
    it("returns what the winner returns and cancels the others", function()
      run(function()
        local slow = async.spawn(forever)
        assert.same({ 1, 2, n = 2 }, pack(async.race(slow, function()
          async.sleep(0.001)
          return 1, 2
        end)))
        assert.is_true(cancelled(slow))
      end)
    end)

    it("raises what the winner raises", function()
      run(function()
        assert.equal("x", caught(async.race, forever, function()
          error("x", 0)
        end))
      end)
    end)
  end)

  describe("with_timeout", function()
    it("returns what the function returns in time", function()
      run(function()
        assert.same({ 1, nil, n = 2 }, pack(async.with_timeout(10, function(...)
          async.sleep(0.001)
          return ...
        end, 1, nil)))
        assert.equal("e", caught(async.with_timeout, 10, function()
          error("e", 0)
        end))
      end)
    end)

    it("cancels the function, waits for its end, and raises", function()
      run(function()
        local cleaned = false
        local err = caught(async.with_timeout, 0.002, function()
          local _, why = async.pcall(forever)
          async.sleep(0.001)
          cleaned = true
          error(why, 0)
        end)
        assert.is_true(sk.is(err, "ResultTimeoutError"))
        assert.equal(0.002, err.timeout)
        assert.is_true(cleaned)
      end)
    end)

    it("nests, and the tighter limit ends first", function()
      run(function()
        local begun = async.now()
        local err = caught(async.with_timeout, 60, function()
          async.with_timeout(0.002, async.with_timeout, 60, forever)
        end)
        assert.equal(0.002, err.timeout)
        assert.is_true(async.now() - begun < 10)
      end)
    end)
  end)

  describe("as_completed", function()
    it("gives the tasks in the order in which they end", function()
      run(function()
        local function after(ms)
          return async.spawn(function() async.sleep(ms / 1000) return ms end)
        end
        local order = {}
        local next_done = async.as_completed{ after(9), after(1), after(5) }
        local task = next_done()
        while task do
          order[#order + 1] = task:result()
          task = next_done()
        end
        assert.same({ 1, 5, 9 }, order)
      end)
    end)
  end)

  describe("call", function()
    it("waits for a callback of luv", function()
      run(function()
        local uv = require "luv"
        local err, stat = async.call(uv.fs_stat, "/")
        assert.is_nil(err)
        assert.equal("directory", stat.type)
      end)
    end)

    it("takes a callback that comes at once", function()
      run(function()
        assert.same({ 7, nil, n = 2 }, pack(async.call(function(x, done)
          done(x, nil)
        end, 7)))
      end)
    end)

    it("can be cancelled; a callback that comes later is ignored", function()
      run(function()
        local late
        local task = async.spawn(async.call, function(done) late = done end)
        async.sleep(0)
        task:cancel()
        late(1) -- before the task has run
        assert.is_true(cancelled(task))
        late(2)
        settle()
      end)
    end)
  end)

  describe("pcall", function()
    it("lets a task wait in it, nested and with errors", function()
      run(function()
        local function inner(x)
          async.sleep(0.001)
          if x == 0 then error("bottom", 0) end
          local ok, err = async.pcall(inner, x - 1)
          async.sleep(0)
          return ok, err, x
        end
        assert.same({ true, true, true, 1, n = 4 },
                    pack(async.pcall(function()
                      return (inner(3)), select(2, inner(1)) == "bottom", 1
                    end)))
        assert.same({ false, "bottom", n = 2 }, pack(async.pcall(inner, 0)))
        assert.same({ true, n = 1 }, pack(async.pcall(function() end)))
      end)
    end)

    it("works outside of tasks as well", function()
      assert.same({ true, 1, 2, n = 3 },
                  pack(async.pcall(function(...) return ... end, 1, 2)))
    end)
  end)

  describe("in numbers", function()
    it("wait at the bottom of deep calls", function()
      local function down(n)
        if n == 0 then async.sleep(0.001) return 0 end
        return 1 + down(n - 1)
      end
      assert.equal(10000, run(function()
        return async.spawn(down, 10000):await()
      end))
    end)

    it("are a hundred thousand at once", function()
      run(function()
        local tasks, woken = {}, 0
        local gate = async.Event()
        for i = 1, 100000 do
          tasks[i] = async.spawn(function()
            gate:wait()
            woken = woken + 1
            return i
          end)
          if i % 1000 == 0 then async.sleep(0) end
        end
        async.sleep(0)
        gate:set()
        local results = async.gather(tasks)
        assert.equal(100000, results.n)
        assert.equal(100000, woken)
        assert.equal(77777, results[77777])
      end)
    end)

    it("do not keep one waiting that libuv wakes", function()
      run(function()
        local order = {}
        local timer = require "luv".new_timer()
        local event = async.Event()
        timer:start(1, 0, function()
          timer:close()
          event:set()
        end)
        local quick = async.spawn(function()
          event:wait()
          order[#order + 1] = "quick"
        end)
        for i = 1, 200 do -- a batch that takes 20 ms and more
          async.spawn(function()
            local begun = async.now()
            while async.now() - begun < 0.0001 do end
            if i == 200 then order[#order + 1] = "crowd" end
          end)
        end
        quick:await()
        async_helper.wait_until(function() return order[2] end)
        assert.same({ "quick", "crowd" }, order)
      end)
    end)

    it("are let go of when they have ended", function()
      run(function()
        local weak = setmetatable({}, { __mode = "k" })
        for i = 1, 10 do
          weak[async.spawn(async.sleep, i / 10000)] = true
        end
        async.sleep(0.02)
        collectgarbage()
        collectgarbage()
        assert.is_nil(next(weak))
      end)
    end)
  end)

  it("cannot be sent to another process", function()
    run(function()
      local task = async.spawn(forever)
      local err = caught(sk.cerial.serialize, task)
      assert.matches("cannot leave its process", tostring(err))
    end)
  end)
end)
