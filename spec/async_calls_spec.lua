-- Circuit, Yawn, timers, Skfunction and Future in tasks: what they wait for
-- holds up no other task, and a cancellation ends it.

local async_helper = require "spec.async_helper"

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, beats_during = async_helper.run, async_helper.beats_during
local caught, settle = async_helper.caught, async_helper.settle

local SIGSTOP = 19

-- What computes for a while, in a process of its own.
local function rest(x)
  require "suitkaise.core".sleep(0.03)
  return x
end

local function in_task(test)
  return function() run(test) end
end

describe("async", function()
  after_each(helper.nothing_left)

  describe("Circuit", function()
    it("sleeps without blocking", in_task(function()
      local circuit = async.Circuit{ num_shorts_to_trip = 2,
                                     sleep_time_after_trip = 0.02 }
      assert.is_false(circuit:short())
      local beats, tripped = beats_during(function() return circuit:short() end)
      assert.is_true(tripped)
      assert.is_true(beats >= 1)
      beats = beats_during(function() circuit:trip(0.02) end)
      assert.is_true(beats >= 1)
      assert.equal(2, circuit.total_trips)
    end))

    it("calls what waits", in_task(function()
      local circuit = async.Circuit{ sleep_time_after_trip = 0 }
      local beats, value = beats_during(function()
        return circuit:call(function(x)
          async.sleep(0.02)
          return x
        end, 7)
      end)
      assert.equal(7, value)
      assert.is_true(beats >= 1)
      caught(circuit.call, circuit, function()
        async.sleep(0)
        error "no"
      end)
      assert.equal(1, circuit.total_failures)
    end))

    it("is counted the same when its sleep is cancelled", in_task(function()
      local circuit = async.Circuit{ num_shorts_to_trip = 1,
                                     sleep_time_after_trip = 60 }
      local task = async.spawn(function() circuit:short() end)
      settle()
      task:cancel()
      assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
      assert.equal(1, circuit.total_trips)
      assert.is_true(circuit.broken)
    end))

    it("of any kind has a view that yields", in_task(function()
      local circuit = sk.Circuit{ num_shorts_to_trip = 1,
                                  sleep_time_after_trip = 0.02 }
      local view = circuit:asynced()
      local beats = beats_during(function() view:short() end)
      assert.is_true(beats >= 1)
      assert.is_true(circuit.broken)
      assert.equal(1, view.total_trips)
      view:reset()
      assert.is_false(circuit.broken)
    end))

    it("blocks outside of tasks", function()
      local circuit = async.Circuit{ num_shorts_to_trip = 1,
                                     sleep_time_after_trip = 0.01 }
      local began = core.now()
      assert.is_true(circuit:short())
      assert.is_true(core.now() - began >= 0.01)
    end)
  end)

  describe("Yawn", function()
    it("yields when it sleeps", in_task(function()
      local yawn = async.Yawn(0.02, 2)
      assert.is_false(yawn())
      local beats, slept = beats_during(function() return yawn() end)
      assert.is_true(slept)
      assert.is_true(beats >= 1)
    end))

    it("has a view that counts with it", in_task(function()
      local yawn = sk.sktime.Yawn(0.02, 3)
      local view = yawn:asynced()
      yawn()
      view()
      assert.equal(2, yawn.count)
      local beats = beats_during(function() assert.is_true(view()) end)
      assert.is_true(beats >= 1)
      assert.equal(0, yawn.count)
    end))
  end)

  describe("timers", function()
    it("measure what waits", in_task(function()
      local timed = async.timethis(function(x)
        async.sleep(0.01)
        return x
      end, async.Timer())
      assert.equal(3, timed(3))
      assert.is_true(timed.timer.most_recent >= 0.01)
      local timer, value = async.TimeThis(function()
        async.sleep(0.01)
        return "done"
      end)
      assert.equal("done", value)
      assert.is_true(timer.most_recent >= 0.01)
    end))

    it("keep the measurements of tasks apart", in_task(function()
      local timer = async.Timer()
      local function measure(seconds)
        return async.spawn(function()
          timer:start()
          async.sleep(seconds)
          return timer:stop()
        end)
      end
      local long, short = async.gather(measure(0.03), measure(0.01))
      assert.is_true(long >= 0.03)
      assert.is_true(short < long)
    end))

    it("leave no measurement to the task that comes next", in_task(function()
      local timer = async.Timer()
      async.spawn(function() timer:start() end):await()
      local next_one = async.spawn(function() return timer:stop() end)
      assert.is_true(sk.is(caught(next_one.await, next_one), "Error"))
    end))

    it("are the task's in protected calls too", in_task(function()
      local timer = async.Timer()
      timer:start()
      local ok, seconds = async.pcall(timer.stop, timer)
      assert.is_true(ok)
      assert.is_true(seconds >= 0)
      async.TimeThis(function(own)
        own:pause()
        async.sleep(0)
        own:resume()
      end, timer)
      assert.equal(2, timer.num_times)
    end))

    it("do not keep what raised", in_task(function()
      local timer = async.Timer()
      caught(async.TimeThis, function() async.sleep(0) error "no" end, timer)
      assert.equal(0, timer.num_times)
    end))
  end)

  describe("sleep", function()
    it("returns the time", in_task(function()
      local before = sk.sktime.time()
      assert.is_true(async.sleep(0.002) >= before + 0.002)
    end))
  end)

  describe("Skfunction", function()
    it("waits between attempts without blocking", in_task(function()
      local calls = 0
      local fetch = sk.skf(function(x)
        calls = calls + 1
        async.sleep(0)
        if calls < 3 then error "no" end
        return x
      end):asynced():retry{ times = 3, delay = 0.01 }
      local beats, value = beats_during(function() return fetch(5) end)
      assert.equal(5, value)
      assert.equal(3, calls)
      assert.is_true(beats >= 1)
    end))

    it("does not try again when the task is cancelled", in_task(function()
      local calls = 0
      local fetch = sk.skf(function()
        calls = calls + 1
        async.sleep(60)
      end):retry{ times = 3, delay = 0 }:asynced()
      local task = async.spawn(function() return fetch() end)
      settle()
      task:cancel()
      assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
      assert.equal(1, calls)
    end))

    it("waits for its rate without blocking", in_task(function()
      local paced = sk.skf(function() end):rate_limit(100):asynced()
      local began = core.now()
      local beats = beats_during(function() for _ = 1, 4 do paced() end end)
      assert.is_true(core.now() - began >= 0.03)
      assert.is_true(beats >= 1)
    end))

    it("has time limits that cancel", in_task(function()
      local has_cleaned = false
      local slow = sk.skf(function()
        local ok, err = async.pcall(async.sleep, 60)
        has_cleaned = true
        if not ok then error(err, 0) end
      end, { name = "slow" }):timeout(0.01):asynced()
      local beats, err = beats_during(function() return caught(slow) end)
      assert.is_true(sk.is(err, "FunctionTimeoutError"))
      assert.equal(0.01, err.timeout)
      assert.truthy(err.message:find("slow took longer", 1, true))
      assert.is_true(has_cleaned)
      assert.is_true(beats >= 1)
    end))

    it("tries again after a limit", in_task(function()
      local calls = 0
      local fetch = sk.skf(function()
        calls = calls + 1
        async.sleep(calls == 1 and 60 or 0)
        return calls
      end):timeout(0.02):retry{ times = 2, delay = 0 }:asynced()
      assert.equal(2, fetch())
    end))

    it("takes what its function returns and raises", in_task(function()
      local both = sk.skf(function(...) return ... end):timeout(20):asynced()
      assert.same({ n = 3, 1, nil, 3 },
                  { n = select("#", both(1, nil, 3)), both(1, nil, 3) })
      local failing = sk.skf(function() error({ code = 7 }) end)
        :timeout(20):asynced()
      assert.equal(7, caught(failing).code)
    end))

    it("waits for a process without blocking", in_task(function()
      local far = sk.skf(rest):asynced()
      local beats, value = beats_during(function()
        return far:timeout(20, { isolate = true })(6)
      end)
      assert.equal(6, value)
      assert.is_true(beats >= 1)
      local future = far:background()(7)
      beats, value = beats_during(function() return future:result() end)
      assert.equal(7, value)
      assert.is_true(beats >= 1)
    end))

    it("kills the process of a limit, of a cancelled task too", in_task(
      function()
        local pids = sk.Counter()
        local far = sk.skf(function()
          pids:set(require "suitkaise.core".getpid())
          while true do require "suitkaise.core".sleep(1) end
        end):asynced()
        local limited = far:timeout(0.05, { isolate = true })
        assert.is_true(sk.is(caught(limited), "FunctionTimeoutError"))
        assert.is_true(core.gone(pids.value))
        pids:set(0)
        local task = async.spawn(function()
          return far:timeout(60, { isolate = true })()
        end)
        async_helper.wait_until(function() return pids.value ~= 0 end)
        task:cancel()
        assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
        assert.is_true(core.gone(pids.value))
      end))

    it("paces generators where loops can wait", in_task(function()
      local numbers = sk.skf(function()
        for i = 1, 3 do coroutine.yield(i) end
      end, { kind = "generator" }):rate_limit(100):asynced()
      local sum = 0
      local beats = beats_during(function()
        for i in numbers() do sum = sum + i end
      end)
      assert.equal(6, sum)
      assert.equal(async_helper.loops_wait, beats >= 1)
    end))

    it("is refused outside of tasks when it has to wait", function()
      local _, err = pcall(sk.skf(rest):timeout(1):asynced(), 1)
      assert.truthy(tostring(err):find("outside of a task", 1, true))
    end)
  end)

  describe("Future", function()
    it("is awaited by several tasks", in_task(function()
      local future = sk.skf(rest):background()("x")
      local beats = beats_during(function()
        local a, b = async.gather(function() return future:await() end,
                                  function() return future:await(20) end)
        assert.equal("x", a)
        assert.equal("x", b)
      end)
      assert.is_true(beats >= 1)
      assert.equal("x", future:asynced():result())
    end))

    it("goes on when a wait is late or cancelled", in_task(function()
      local gate = sk.Flag()
      local future = sk.skf(function() return gate:wait(20) end):background()()
      assert.is_true(sk.is(caught(future.await, future, 0.01),
                           "ResultTimeoutError"))
      local task = async.spawn(function() return future:await() end)
      settle()
      task:cancel()
      caught(task.await, task)
      gate:set()
      assert.is_true(future:await(20))
    end))

    it("tells the tasks that wait when another cancels it", in_task(function()
      local future = sk.skf(function()
        while true do require "suitkaise.core".sleep(1) end
      end):background()()
      local task = async.spawn(function() return future:await() end)
      settle()
      assert.is_true(future:cancel())
      assert.is_true(sk.is(caught(task.await, task, 1), "CancelledError"))
    end))

    it("raises the death of its process", in_task(function()
      local future = sk.skf(function()
        local me = require "suitkaise.core"
        me.exit(9)
      end):background()()
      local err = caught(future.await, future)
      assert.is_true(sk.is(err, "WorkerDiedError"))
      assert.equal(9, err.exit_code)
    end))

    it("waits no longer than asked for a stopped process", in_task(function()
      local pid = sk.Counter()
      local future = sk.skf(function()
        pid:set(require "suitkaise.core".getpid())
        while true do require "suitkaise.core".sleep(1) end
      end):background()()
      async_helper.wait_until(function() return pid.value ~= 0 end)
      os.execute("kill -" .. SIGSTOP .. " " .. pid.value)
      local beats, err = beats_during(function()
        return caught(future.await, future, 0.05)
      end)
      assert.is_true(sk.is(err, "ResultTimeoutError"))
      assert.is_true(beats >= 1)
      assert.is_true(future:cancel())
    end))

    it("of a Pool in the background is awaited", in_task(function()
      local pool = sk.Pool{ workers = 1 }
      local future = pool:background():asynced():map(rest, { 1, 2 })
      local beats, results = beats_during(function()
        return future:result()
      end)
      assert.same({ 1, 2, n = 2 }, results)
      assert.is_true(beats >= 1)
      pool:close()
    end))
  end)
end)
