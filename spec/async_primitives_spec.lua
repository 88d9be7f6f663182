-- What Semaphore, Lock, Event, Condition and Queue promise: turns in the
-- order of asking, and nothing lost to those who are cancelled or late.

local async_helper = require "spec.async_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"

local async = sk.async
local run, settle = async_helper.run, async_helper.settle

local function caught(fn, ...)
  local ok, err = async.pcall(fn, ...)
  assert.is_false(ok)
  return err
end

local function is_argument_error(fn, ...)
  assert.is_true(sk.is(caught(fn, ...), "ArgumentError"))
end

-- A sequence of numbers that is the same in every run.
local function random_numbers(seed)
  local x = seed
  return function(n)
    x = (x * 16807) % 2147483647
    return x % n + 1
  end
end

describe("async primitives", function()
  after_each(helper.nothing_left)

  for _, kind in ipairs { "Semaphore", "Lock" } do
    local function new()
      return async[kind](kind == "Semaphore" and 1 or nil)
    end

    describe(kind, function()
      it("lets one in at a time, in the order of asking", function()
        run(function()
          local lock, order, inside = new(), {}, 0
          local tasks = {}
          for i = 1, 20 do
            tasks[i] = async.spawn(function()
              assert(lock:acquire() == true)
              inside = inside + 1
              assert(inside == 1)
              async.sleep(i % 3 == 0 and 0.0005 or 0)
              order[#order + 1] = i
              inside = inside - 1
              lock:release()
            end)
          end
          async.gather(tasks)
          for i = 1, 20 do assert.equal(i, order[i]) end
        end)
      end)

      it("does not let a newcomer pass those who wait", function()
        run(function()
          local lock, order = new(), {}
          lock:acquire()
          local waiter = async.spawn(function()
            lock:acquire()
            order[#order + 1] = "waiter"
            lock:release()
          end)
          async.sleep(0)
          lock:release()
          lock:acquire()
          order[#order + 1] = "newcomer"
          lock:release()
          waiter:await()
          assert.same({ "waiter", "newcomer" }, order)
        end)
      end)

      it("gives up after the timeout and looks only for 0", function()
        run(function()
          local lock = new()
          assert.is_true(lock:acquire(0))
          assert.is_false(lock:acquire(0))
          assert.is_false(lock:acquire(0.002))
          lock:release()
          assert.is_true(lock:acquire(0))
          is_argument_error(lock.acquire, lock, -1)
        end)
      end)

      it("loses no permit to a waiter that is cancelled", function()
        run(function()
          local lock = new()
          lock:acquire()
          local waiters = {}
          for i = 1, 3 do
            waiters[i] = async.spawn(function()
              lock:acquire()
              lock:release()
              return i
            end)
          end
          async.sleep(0)
          waiters[1]:cancel()
          waiters[2]:cancel()
          lock:release()
          assert.equal(3, waiters[3]:await(10))
          assert.is_true(lock:acquire(0))
        end)
      end)

      it("leaves a permit that was handed over to its task", function()
        run(function()
          local lock, got = new(), nil
          lock:acquire()
          local waiter = async.spawn(function()
            got = lock:acquire()
            lock:release()
            async.sleep(0)
          end)
          async.sleep(0)
          lock:release() -- the waiter has it, but has not run
          waiter:cancel()
          assert.is_true(sk.is(caught(waiter.await, waiter), "CancelledError"))
          assert.is_true(got)
          assert.is_true(lock:acquire(0))
        end)
      end)

      it("refuses a release of nothing", function()
        run(function()
          local lock = new()
          assert.is_true(sk.is(caught(lock.release, lock), "Error"))
          lock:acquire()
          lock:release()
          assert.is_true(sk.is(caught(lock.release, lock), "Error"))
        end)
      end)

      it("refuses another self", function()
        run(function()
          is_argument_error(new().acquire, async.Event())
          is_argument_error(new().release, nil)
        end)
      end)
    end)
  end

  describe("Semaphore", function()
    it("lets n in", function()
      run(function()
        local semaphore, inside, peak = async.Semaphore(3), 0, 0
        local tasks = {}
        for i = 1, 30 do
          tasks[i] = async.spawn(function()
            semaphore:acquire()
            inside = inside + 1
            peak = math.max(peak, inside)
            async.sleep(0.0005)
            inside = inside - 1
            semaphore:release()
          end)
        end
        async.gather(tasks)
        assert.equal(3, peak)
      end)
    end)

    it("refuses what is no number of permits", function()
      run(function()
        for _, bad in ipairs { 0, -1, 1.5, "x" } do
          is_argument_error(async.Semaphore, bad)
        end
        is_argument_error(async.Semaphore)
      end)
    end)

    it("has all permits again, whoever was cancelled or late", function()
      run(function()
        local random = random_numbers(20)
        local semaphore, inside = async.Semaphore(3), 0
        local tasks = {}
        for i = 1, 300 do
          tasks[i] = async.spawn(function()
            for _ = 1, random(5) do
              local timeout = random(3) == 1 and random(3) / 2000 or nil
              if semaphore:acquire(timeout) then
                inside = inside + 1
                assert(inside <= 3)
                async.pcall(async.sleep, random(3) == 1 and 0.0004 or 0)
                inside = inside - 1
                semaphore:release()
              end
            end
          end)
        end
        for _ = 1, 400 do
          async.sleep(random(4) == 1 and 0.0003 or 0)
          tasks[random(300)]:cancel()
        end
        for i = 1, 300 do async.pcall(tasks[i].await, tasks[i]) end
        assert.equal(0, inside)
        for _ = 1, 3 do assert.is_true(semaphore:acquire(0)) end
        assert.is_false(semaphore:acquire(0))
      end)
    end)
  end)

  describe("Event", function()
    it("wakes all who wait, and later ones do not wait", function()
      run(function()
        local event, woken = async.Event(), 0
        assert.is_false(event:is_set())
        local tasks = {}
        for i = 1, 5 do
          tasks[i] = async.spawn(function()
            assert(event:wait() == true)
            woken = woken + 1
          end)
        end
        settle()
        assert.equal(0, woken)
        event:set()
        async.gather(tasks)
        assert.equal(5, woken)
        assert.is_true(event:is_set())
        assert.is_true(event:wait(0))
        event:clear()
        assert.is_false(event:is_set())
        assert.is_false(event:wait(0))
        assert.is_false(event:wait(0.002))
      end)
    end)

    it("is set from a callback of luv", function()
      run(function()
        local event = async.Event()
        local timer = require "luv".new_timer()
        timer:start(2, 0, function()
          timer:close()
          event:set()
        end)
        assert.is_true(event:wait(10))
      end)
    end)

    it("can be waited for again and again with timeouts", function()
      run(function()
        local event = async.Event()
        local long = async.spawn(function() return event:wait() end)
        for _ = 1, 500 do event:wait(0.00001) end
        event:set()
        assert.is_true(long:await(10))
      end)
    end)
  end)

  describe("Condition", function()
    it("wakes one by one, or all, and holds the lock then", function()
      run(function()
        local condition, woken = async.Condition(), {}
        local tasks = {}
        for i = 1, 4 do
          tasks[i] = async.spawn(function()
            condition:acquire()
            assert(condition:wait() == true)
            assert(condition.lock:is_locked())
            woken[#woken + 1] = i
            condition:release()
          end)
        end
        settle()
        condition:acquire()
        condition:notify()
        condition:release()
        settle()
        assert.same({ 1 }, woken)
        condition:acquire()
        condition:notify_all()
        condition:release()
        async.gather(tasks)
        assert.same({ 1, 2, 3, 4 }, woken)
      end)
    end)

    it("has the lock again after a timeout and a cancellation", function()
      run(function()
        local condition, locked = async.Condition(), nil
        condition:acquire()
        assert.is_false(condition:wait(0.002))
        assert.is_true(condition.lock:is_locked())
        condition:release()
        local task = async.spawn(function()
          condition:acquire()
          local _, err = async.pcall(condition.wait, condition)
          locked = condition.lock:is_locked()
          condition:release()
          error(err, 0)
        end)
        settle()
        condition:acquire() -- it must wait for the lock on its way out
        task:cancel()
        settle()
        task:cancel() -- again: it must have the lock all the same
        settle()
        assert.is_nil(locked)
        condition:release()
        assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
        assert.is_true(locked)
        assert.is_false(condition.lock:is_locked())
      end)
    end)

    it("does not lose a notification to one that was cancelled", function()
      run(function()
        local condition, woken = async.Condition(), 0
        local function wait()
          condition:acquire()
          if async.pcall(condition.wait, condition) then woken = woken + 1 end
          condition:release()
        end
        local first, second = async.spawn(wait), async.spawn(wait)
        settle()
        first:cancel()
        condition:acquire()
        condition:notify()
        condition:release()
        second:await(10)
        assert.equal(1, woken)
      end)
    end)

    it("refuses to wait without the lock, and another's lock", function()
      run(function()
        local condition = async.Condition()
        assert.matches("acquire the condition first",
                       tostring(caught(condition.wait, condition)))
        assert.matches("acquire the condition first",
                       tostring(caught(condition.notify, condition)))
        is_argument_error(async.Condition, 5)
      end)
    end)
  end)

  describe("Queue", function()
    it("gives values in order, false too", function()
      run(function()
        local queue = async.Queue()
        for i = 1, 10 do queue:put(i) end
        queue:put(false)
        assert.equal(11, queue:size())
        for i = 1, 10 do assert.equal(i, queue:get()) end
        assert.is_false(queue:get(0))
        assert.equal(0, queue:size())
      end)
    end)

    it("serves getters in the order of asking", function()
      run(function()
        local queue, got = async.Queue(), {}
        local tasks = {}
        for i = 1, 5 do
          tasks[i] = async.spawn(function() got[i] = queue:get() end)
        end
        settle()
        for i = 1, 5 do queue:put(i * 10) end
        async.gather(tasks)
        assert.same({ 10, 20, 30, 40, 50 }, got)
      end)
    end)

    it("makes putters wait while it is full, in order", function()
      run(function()
        local queue, put = async.Queue(2), 0
        local putter = async.spawn(function()
          for i = 1, 6 do
            assert(queue:put(i))
            put = i
          end
        end)
        settle()
        assert.equal(2, put)
        for i = 1, 6 do
          assert.equal(i, queue:get(10))
          settle()
          assert.is_true(put <= i + 2)
        end
        putter:await()
      end)
    end)

    it("has timeouts on both sides", function()
      run(function()
        local queue = async.Queue(1)
        assert.same({ nil, "timeout" }, { queue:get(0) })
        assert.same({ nil, "timeout" }, { queue:get(0.002) })
        assert.is_true(queue:put(1, 0))
        assert.same({ nil, "timeout" }, { queue:put(2, 0) })
        assert.same({ nil, "timeout" }, { queue:put(2, 0.002) })
        assert.equal(1, queue:get())
        assert.same({ nil, "timeout" }, { queue:get(0) })
      end)
    end)

    it("gives what is in it after it was closed, then says so", function()
      run(function()
        local queue = async.Queue(1)
        queue:put(1)
        local putter = async.spawn(function() return queue:put(2) end)
        local closed = async.Queue()
        local getter = async.spawn(function() return closed:get() end)
        settle()
        closed:close()
        queue:close()
        assert.same({ nil, "closed" }, { getter:await() })
        assert.same({ nil, "closed" }, { putter:await() })
        assert.equal(1, queue:get())
        assert.same({ nil, "closed" }, { queue:get() })
        assert.same({ nil, "closed" }, { queue:put(3) })
      end)
    end)

    it("refuses nil and bad capacities", function()
      run(function()
        is_argument_error(async.Queue().put, async.Queue(), nil)
        for _, bad in ipairs { 0, -1, 1.5, "x" } do
          is_argument_error(async.Queue, bad)
        end
      end)
    end)

    it("loses no value to those that are cancelled or late", function()
      run(function()
        local random = random_numbers(7)
        local queue, sent, got = async.Queue(4), {}, {}
        local getters, putters = {}, {}
        for i = 1, 60 do
          getters[i] = async.spawn(function()
            while true do
              local value, why = queue:get(random(4) / 4000)
              if value then got[#got + 1] = value
              elseif why == "closed" then return end
            end
          end)
          putters[i] = async.spawn(function()
            for k = 1, 20 do
              local name = i * 100 + k
              if queue:put(name, random(4) / 4000) then
                sent[#sent + 1] = name
              end
            end
          end)
        end
        for _ = 1, 200 do
          async.sleep(random(3) == 1 and 0.0003 or 0)
          putters[random(60)]:cancel()
          getters[random(59)]:cancel()
        end
        for i = 1, 60 do async.pcall(putters[i].await, putters[i]) end
        queue:close()
        for i = 1, 60 do async.pcall(getters[i].await, getters[i]) end
        table.sort(sent)
        table.sort(got)
        assert.is_true(#sent > 50)
        assert.same(sent, got)
      end)
    end)
  end)
end)
