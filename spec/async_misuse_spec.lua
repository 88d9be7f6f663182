-- What must not hurt the loop, the other tasks or the program: waits where Lua
-- cannot wait, values that bite, forks, hooks, misuse.

local async_helper = require "spec.async_helper"
local helper = require "spec.helper"
local sk = require "suitkaise"
local uv = require "luv"
local threads = require "suitkaise.async.threads"
local Waiters = require "suitkaise.async.waiters"

local async = sk.async
local run, settle = async_helper.run, async_helper.settle
local caught = async_helper.caught
local on_jit = rawget(_G, "jit") ~= nil

local function forever() async.Event():wait() end

-- Wait where no Lua can yield: the error is caught, and returned.
local function wait_in_sort(wait)
  local ok, err = pcall(table.sort, { 3, 2, 1 }, function(a, b)
    wait()
    return a < b
  end)
  assert(not ok)
  return err
end

describe("async", function()
  after_each(helper.nothing_left)

  describe("a wait of any length", function()
    for _, seconds in ipairs { 1e7, 1e18, 1e300, math.huge } do
      it("can be slept: " .. seconds .. " s", function()
        async.run(function() -- there is no other sleeper
          local task, timer = async.spawn(async.sleep, seconds), uv.new_timer()
          async.call(timer.start, timer, 2, 0)
          timer:close()
          assert.is_false(task:done())
          task:cancel()
          assert.is_true(sk.is(caught(task.await, task), "CancelledError"))
        end)
      end)

      it("can be a timeout: " .. seconds .. " s", function()
        local task = async.spawn(function() async.sleep(0.001) return 7 end)
        assert.equal(7, task:result(seconds))
      end)
    end
  end)

  describe("a wait that Lua does not allow", function()
    local lock = async.Lock()
    local waits = {
      ["sleep"] = function() async.sleep(0.001) end,
      ["sleep of 0"] = function() async.sleep(0) end,
      ["lock"] = function() lock:acquire() end,
    }

    for name, wait in pairs(waits) do
      it("leaves the next one alone: " .. name, function()
        run(function()
          lock:acquire(0)
          wait_in_sort(wait)
          local event = async.Event()
          local other = async.spawn(function()
            lock:release() -- nobody waits for it
            settle()
            async.sleep(0.002)
            event.was_set = true
            event:set()
          end)
          event:wait()
          assert.is_true(event.was_set)
          other:await()
          assert.is_false(lock:is_locked())
        end)
      end)

      it("of a task that ends leaves the loop alone: " .. name, function()
        run(function()
          lock:acquire(0)
          local task = async.spawn(function() wait_in_sort(wait) return 1 end)
          assert.equal(1, task:await())
          task = async.spawn(function()
            table.sort({ 2, 1 }, function() wait() end)
          end)
          assert.matches("yield", caught(task.await, task))
          async.sleep(0.003)
          lock:release()
          settle()
          assert.is_false(lock:is_locked())
        end)
      end)
    end

    it("takes no value of a queue", function()
      run(function()
        local task = async.spawn(function()
          local queue = async.Queue()
          wait_in_sort(function() queue:get() end)
          async.sleep(0)
          queue:put "kept"
          return queue:get(0)
        end)
        assert.equal("kept", task:await(10))
      end)
    end)

  end)

  describe("functions given to on_done", function()
    it("are in no task", function()
      run(function()
        local seen
        local task = async.spawn(function() end)
        task:on_done(function()
          seen = { n = 1, async.current() }
          seen.err = caught(async.sleep, 0.001)
        end)
        async.sleep(0.003)
        assert.is_nil(seen[1])
        assert.matches("outside of a task", tostring(seen.err))
      end)
    end)
  end)

  describe("values with an __eq", function()
    local asked = 0
    local biting = { __eq = function() asked = asked + 1 error "asked" end }

    it("go through queues and are raised unasked", function()
      run(function()
        local value = setmetatable({}, biting)
        local queue = async.Queue()
        local getter = async.spawn(function() return queue:get(20) end)
        async.sleep(0)
        queue:put(value)
        assert.is_true(rawequal(value, getter:await()))
        local task = async.spawn(function() error(value) end)
        assert.is_true(rawequal(value, caught(task.await, task)))
        task = async.spawn(function() coroutine.yield(value) end)
        assert.matches("coroutine.yield", tostring(caught(task.await, task)))
        assert.equal(0, asked)
      end)
    end)
  end)

  describe("the tasks of a parent", function()
    it("do not run in its child, whoever wakes them there", function()
      run(function()
        local parent = sk.getpid()
        local queue, event, lock = async.Queue(), async.Event(), async.Lock()
        lock:acquire()
        local strays = sk.Counter(0)
        local function count_strays(wait)
          return async.spawn(function()
            async.pcall(wait)
            if sk.getpid() ~= parent then strays:increment() end
          end)
        end
        local tasks = {
          count_strays(function() queue:get() end),
          count_strays(function() event:wait() end),
          count_strays(function() lock:acquire() end),
          count_strays(forever),
        }
        async.sleep(0)
        local me = async.current()
        local child = helper.fork(function()
          queue:put "in the child"
          event:set()
          lock:release()
          assert(tasks[4]:cancel() == false)
          async.run(settle)
          assert(queue:get(0) == "in the child")
          assert(not lock:is_locked())
          local err = caught(async.run, function() tasks[4]:await() end)
          assert(tostring(err):find "the process that forked")
          assert(tostring(caught(me.result, me)):find "forked")
        end)
        assert.equal(0, (child:finish()))
        assert.equal(0, strays.value)
        for _, task in ipairs(tasks) do assert.is_false(task:done()) end
        queue:put(1)
        event:set()
        lock:release()
        tasks[4]:cancel()
        async.gather(tasks)
      end)
    end)
  end)

  describe("errors that nobody asks for", function()
    local reports
    before_each(function()
      reports = {}
      async.on_unhandled(function(err) reports[#reports + 1] = err end)
    end)
    after_each(function() async.on_unhandled(nil) end)

    it("are told though on_done was", function()
      run(function()
        local task = async.spawn(function() error("lost", 0) end)
        task:on_done(function() end)
        async.sleep(0)
      end)
      assert.same({ "lost" }, reports)
    end)

    it("are not when the function of on_done asks", function()
      run(function()
        local task = async.spawn(function() error("asked", 0) end)
        task:on_done(function() caught(task.result, task) end)
        async.sleep(0)
      end)
      assert.same({}, reports)
    end)

    it("are told of tasks that an iterator was left before", function()
      run(function()
        local next_ended = async.as_completed(
          function() return 1 end,
          function() async.sleep(0.001) error("left", 0) end)
        assert.equal(1, next_ended():result())
        async.sleep(0.003)
      end)
      assert.same({ "left" }, reports)
    end)

    it("are not of those that were asked", function()
      run(function()
        local next_ended = async.as_completed(
          function() async.sleep(0.001) error("taken", 0) end)
        local task = next_ended()
        assert.equal("taken", caught(task.result, task))
      end)
      assert.same({}, reports)
    end)
  end)

  describe("async.run", function()
    it("ends the tasks that its last tasks start", function()
      local ended = 0
      local function start_another()
        async.pcall(forever)
        async.spawn(function()
          async.pcall(forever)
          ended = ended + 1
        end)
        async.sleep(0)
      end
      run(function()
        async.spawn(start_another)
        async.sleep(0)
      end)
      assert.equal(1, ended)
    end)

    it("does not go on for ever with those that always start one", function()
      local function again()
        async.pcall(forever)
        async.spawn(again)
        async.sleep(0)
      end
      helper.in_child(function()
        async.run(function()
          async.spawn(again)
          async.sleep(0)
        end)
      end)
    end)

    it("is interrupted by time limits at any moment, and goes on", function()
      local output = helper.run [[
        local sk = require "suitkaise"
        local async = sk.async
        local busy = sk.skf(function()
          async.run(function()
            local queue = async.Queue(3)
            async.spawn(function() while true do async.sleep(0) end end)
            async.spawn(function()
              while true do queue:put(1) async.sleep(1e-4) end
            end)
            while true do queue:get() async.sleep(0) end
          end)
        end)
        for i = 1, 50 do
          local ok, err = pcall(busy:timeout(0.002 + i % 7 * 5e-4))
          assert(not ok and sk.is(err, "FunctionTimeoutError"), err)
          assert(async.run(function() async.sleep(0) return 1 end) == 1)
          assert(#require "suitkaise.async.loop".live() == 0)
        end
        print "over"
      ]]
      assert.equal("over\n", output)
    end)

    it("is interrupted by a time limit, and the program goes on", function()
      local output = helper.run [[
        local sk = require "suitkaise"
        local async = sk.async
        local endless = sk.skf(function()
          async.run(function() while true do async.sleep(0) end end)
        end)
        local ok, err = pcall(endless:timeout(0.05))
        print(ok, sk.is(err, "FunctionTimeoutError"))
        print(async.run(function() async.sleep(0.001) return "again" end))
        print(#require "suitkaise.async.loop".live())
      ]]
      assert.equal("false\ttrue\nagain\n0\n", output)
    end)
  end)

  describe("a coroutine that was used by another task", function()
    local function use_one(fn)
      run(function()
        async.spawn(function() end):await() -- there is one
        assert.is_true(threads.count() > 0)
        async.spawn(fn):await()
      end)
    end

    local function in_all(fn)
      async.run(function()
        local tasks = {}
        for i = 1, threads.count() + 2 do tasks[i] = async.spawn(fn) end
        async.gather(tasks)
      end)
    end

    if not on_jit then
      it("has no hook of that", function()
        local hits = 0
        use_one(function()
          debug.sethook(function() hits = hits + 1 end, "", 1)
        end)
        hits = 0
        in_all(function() assert(debug.gethook() == nil) end)
        assert.equal(0, hits)
      end)
    end

    if rawget(_G, "setfenv") then
      it("has the environment of its maker", function()
        local getfenv, setfenv = rawget(_G, "getfenv"), rawget(_G, "setfenv")
        local other = setmetatable({}, { __index = _G })
        use_one(function() setfenv(0, other) end)
        in_all(function() assert(getfenv(0) == _G) end)
        run(function()
          local before = getfenv(0)
          setfenv(0, other)
          local task = async.spawn(function() return getfenv(0) end)
          setfenv(0, before)
          assert.equal(other, task:await())
        end)
      end)
    end
  end)

  describe("a finalizer", function()
    local on_collect = require "suitkaise.on_collect"

    it("may spawn tasks, whatever it interrupts", function()
      local pause = collectgarbage("setpause", 1)
      local multiplier = collectgarbage("setstepmul", 10000)
      local spawned, ran = 0, 0
      run(function()
        local function spawn_one()
          spawned = spawned + 1
          async.spawn(function() ran = ran + 1 end)
        end
        for i = 1, 10000 do
          if spawned >= 250 then break end
          on_collect(spawn_one)
          async.spawn(function() async.sleep(0) end, i, i)
          if i % 50 == 0 then async.sleep(0) end
        end
        settle()
      end)
      collectgarbage("setpause", pause)
      collectgarbage("setstepmul", multiplier)
      assert.is_true(spawned >= 250)
      async.run(settle)
      assert.is_true(ran >= 250)
    end)

    if rawget(coroutine, "isyieldable") then -- PUC 5.1 does not tell
      it("may not wait, and nothing is lost by it", function()
        local function finalizer(fn)
          if not newproxy then return setmetatable({}, { __gc = fn }) end
          local proxy = newproxy(true)
          getmetatable(proxy).__gc = fn
        end
        async.run(function()
          local slots, refused = async.Semaphore(1), 0
          local function wait()
            pcall(async.sleep, 0) -- Lua itself refuses
            local ok, err = pcall(async.sleep, 1e-4)
            local _, got = pcall(slots.acquire, slots)
            if got == true then slots:release() end
            local is_refusal = not ok and tostring(err):find "cannot yield"
            if is_refusal then refused = refused + 1 end
          end
          local tasks = {}
          for i = 1, 1000 do
            finalizer(wait)
            tasks[i] = async.spawn(function()
              slots:acquire()
              local ok, err = async.pcall(async.sleep, 0)
              slots:release()
              if not ok then error(err, 0) end
            end)
            if i % 5 == 0 then tasks[i]:cancel() end
            if i % 7 == 0 then async.sleep(0) end
          end
          for i = 1, 1000 do async.pcall(tasks[i].await, tasks[i], 20) end
          finalizer(wait)
          collectgarbage()
          collectgarbage()
          assert.is_true(slots:acquire(0))
          assert.is_true(refused > 0)
        end)
      end)
    end
  end)

  describe("a list of tasks", function()
    it("is gone through to its end, whoever leaves it meanwhile", function()
      local list, left, seen = Waiters.new(), {}, 0
      for i = 1, 200 do list:push { number = i } end
      list:each(function(task) return task.number > 1 end, function(task)
        seen = seen + 1
        left[seen] = task.number
        list:remove(task)
      end)
      assert.equal(199, seen)
      for i = 1, 199 do assert.equal(i + 1, left[i]) end
      assert.equal(1, list:pop().number)
    end)
  end)

  describe("wrong arguments", function()
    it("cannot be the task itself", function()
      for _, name in ipairs { "gather", "race", "as_completed" } do
        run(function()
          local task
          task = async.spawn(function()
            async[name](forever, task) -- luacheck: ignore
            return nil
          end)
          local err = tostring(caught(task.await, task, 20))
          assert.matches("async." .. name .. ": a task cannot wait for itself",
                         err, 1, true)
          assert.matches("async_misuse_spec.lua:%d+", err)
        end)
      end
    end)

    it("start none of the tasks", function()
      run(function()
        local has_begun = false
        local err = caught(function()
          async.race(function() has_begun = true end, 5)
        end)
        settle()
        assert.is_false(has_begun)
        assert.matches("argument 2 must be a task or a function, got 5",
                       tostring(err))
      end)
    end)

    it("are named, with the place", function()
      local condition = async.Condition()
      local cases = {
        ["async.sleep: seconds must be a number of seconds of at least 0, "
          .. "got -1"] = function() async.sleep(-1) end,
        ["async.call: fn must be a function, got nil"] = function()
          async.call(nil)
        end,
        ["Condition:notify: n must be a whole number of at least 0 or nil, "
          .. "got 1.5"] = function()
          condition:acquire()
          condition:notify(1.5)
        end,
        ["Event:set: self must be an Event (call it with a colon), got nil"] =
          function() async.Event().set() end,
        ["async.on_unhandled: handler must be a function or nil, got 5"] =
          function() async.on_unhandled(5) end,
      }
      run(function()
        for message, fn in pairs(cases) do
          local err = tostring(caught(fn))
          assert.matches(message, err, 1, true)
          assert.matches("async_misuse_spec.lua:%d+: ArgumentError", err)
        end
      end)
    end)
  end)
end)
