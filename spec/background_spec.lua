-- What futures promise, and functions in a process of their own.

local background = require "suitkaise.background"
local core = require "suitkaise.core"
local Future = require "suitkaise.future"
local helper = require "spec.helper"
local sk = require "suitkaise"

local SIGSTOP, SIGCONT = 19, 18

local function raises(class, pattern, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_true(sk.is(err, class), tostring(err))
  assert.matches(pattern, tostring(err))
  return err
end

local function start(fn, ...) return background.start("work", fn, ...) end

-- A child that says its pid, and then never ends.
local function start_stuck()
  local pid = sk.Counter()
  local future = start(function()
    pid:set(sk.getpid())
    while true do core.wait({}, {}, "eager", 1) end
  end)
  helper.wait_until(function() return pid.value ~= 0 end)
  return future, pid.value
end

local function signal(pid, number)
  os.execute("kill -" .. number .. " " .. pid)
end

describe("a function in the background", function()
  after_each(helper.nothing_left)

  it("returns all its results, nils too", function()
    local results = { n = select("#", start(function(a, b)
      return a + b, nil, "x", nil
    end, 1, 2):result()) }
    assert.equal(4, results.n)
    local sum, nothing, text = start(function(a, b)
      return a + b, nil, "x"
    end, 1, 2):result()
    assert.same({ 3, "x" }, { sum, text })
    assert.is_nil(nothing)
  end)

  it("runs in another process, with what it captured", function()
    local base = { 10 }
    local function outer(x) return x + base[1], sk.getpid() end
    local sum, pid = start(outer, 5):result()
    assert.equal(15, sum)
    assert.are_not.equal(sk.getpid(), pid)
  end)

  it("changes nothing here", function()
    local t = { n = 1 }
    start(function() t.n = 2 end):result()
    assert.equal(1, t.n)
  end)

  it("takes arguments that could not be serialized", function()
    local co = coroutine.wrap(function() return "from a coroutine" end)
    assert.equal("from a coroutine", start(function(f) return f() end,
                                           co):result())
  end)

  it("raises its error with the far traceback and pid", function()
    local thrown = { code = 7 }
    local err = raises("TaskError", "work failed in process %d+", function()
      start(function() error(thrown) end):result()
    end)
    assert.same(thrown, err.original_error)
    assert.matches("stack traceback", err.traceback)
    assert.are_not.equal(sk.getpid(), err.pid)
  end)

  it("raises for a result that cannot travel", function()
    local err = raises("TaskError", "coroutine", function()
      start(function() return coroutine.create(function() end) end):result()
    end)
    assert.is_true(sk.is(err.original_error, "SerializationError"))
  end)

  it("raises for a result that cannot be built here", function()
    local Bad = { __serialize = function() return 1 end }
    Bad.__index = Bad
    function Bad.__deserialize() error "rubbish" end
    package.loaded["spec.background_bad"] = { Bad = Bad }
    raises("TaskError", "rubbish", function()
      start(function() return setmetatable({}, Bad) end):result()
    end)
    package.loaded["spec.background_bad"] = nil
  end)

  it("sends results that are longer than its ring", function()
    local text = start(function() return ("x"):rep(3e6) end):result()
    assert.equal(3e6, #text)
  end)

  it("tells how a process died", function()
    local err = raises("WorkerDiedError", "exit code 3", function()
      start(function() os.exit(3) end):result()
    end)
    assert.equal(3, err.exit_code)
    local future, pid = start_stuck()
    signal(pid, 9)
    err = raises("WorkerDiedError", "SIGKILL", future.result, future)
    assert.same({ 9, pid }, { err.signal, err.pid })
  end)

  it("may be stopped and go on", function()
    local go, pid = sk.Flag(), sk.Counter()
    local future = start(function()
      pid:set(sk.getpid())
      go:wait()
      return "done"
    end)
    helper.wait_until(function() return pid.value ~= 0 end)
    signal(pid.value, SIGSTOP)
    go:set()
    raises("ResultTimeoutError", "no result within 0.05 s", future.result,
           future, 0.05)
    signal(pid.value, SIGCONT)
    assert.equal("done", future:result(20))
  end)

  it("may start others", function()
    assert.equal(6, start(function()
      return start(function(x) return x * 2 end, 3):result()
    end):result())
  end)

  it("prints what it printed, once", function()
    local output = helper.run [[
      io.write "before "
      local background = require "suitkaise.background"
      background.start("x", function() io.write "child " end):result()
      io.write "after"
    ]]
    assert.equal("before child after", output)
  end)

  it("is killed when nobody has the future", function()
    local pid = select(2, start_stuck())
    helper.wait_until(function()
      collectgarbage()
      collectgarbage()
      return not io.open("/proc/" .. pid .. "/stat")
    end)
  end)

  it("ends with its parent", function()
    local pid = sk.Counter()
    helper.fork(function()
      local future = start(function()
        pid:set(sk.getpid())
        while true do core.wait({}, {}, "eager", 1) end
      end)
      helper.wait_until(function() return pid.value ~= 0 end)
      assert(not future:done())
      core.exit(0)
    end):finish()
    helper.wait_until(function()
      local file = io.open("/proc/" .. pid.value .. "/stat")
      local text = file and file:read "*a" or ""
      if file then file:close() end
      return text == "" or text:match "%) Z " ~= nil
    end)
  end)

  it("says so when the system has no room for another process", function()
    local output = helper.run([[
      local background = require "suitkaise.background"
      local ok, err = pcall(function()
        local all = {}
        for i = 1, 500 do
          all[i] = background.start("x", function()
            require "suitkaise.core".wait({}, {}, "eager", 10)
          end)
        end
      end)
      print(ok, tostring(err):match "cannot start a process" ~= nil)
    ]], nil, "ulimit -n 60")
    assert.matches("^false\ttrue", output)
  end)
end)

describe("a Future", function()
  after_each(helper.nothing_left)

  it("tells without waiting whether it is done", function()
    local future = start_stuck()
    assert.is_false(future:done())
    assert.is_true(future:cancel())
    assert.is_true(future:done())
  end)

  it("is cancelled at once, even when stopped", function()
    local future, pid = start_stuck()
    signal(pid, SIGSTOP)
    collectgarbage "stop"
    assert.is_true(future:cancel())
    assert.is_nil(io.open("/proc/" .. pid .. "/stat"))
    collectgarbage "restart"
    raises("CancelledError", "cancelled", future.result, future)
    assert.is_false(future:cancel())
  end)

  it("waits no longer than it is told, and may be asked again", function()
    local go = sk.Flag()
    local future = start(function() go:wait() return 5 end)
    local err = raises("ResultTimeoutError", "within 0 s", future.result,
                       future, 0)
    assert.equal(0, err.timeout)
    go:set()
    assert.equal(5, future:result(20))
    assert.equal(5, future:result(0))
  end)

  it("gives its results and errors as often as it is asked", function()
    local future = start(function() error "no" end)
    for _ = 1, 2 do raises("TaskError", "no", future.result, future) end
  end)

  it("calls back when it is found done, at once when it is", function()
    local seen = {}
    local future = start(function() return 1 end)
    future:on_done(function(f) seen[#seen + 1] = f end)
    future:result()
    assert.same({ future }, seen)
    future:on_done(function(f) seen[#seen + 1] = f end)
    assert.equal(2, #seen)
  end)

  it("calls all callbacks when one raises", function()
    local seen = 0
    local future = start_stuck()
    future:on_done(function() error "first" end)
    future:on_done(function() seen = seen + 1 end)
    local ok, err = pcall(future.cancel, future)
    assert.is_false(ok)
    assert.matches("first", err)
    assert.equal(1, seen)
    assert.is_true(future:done())
  end)

  it("may have any source", function()
    local looks = 0
    local future = Future.new {
      poll = function(_, f)
        looks = looks + 1
        if looks == 3 then f:resolve("a", nil) end
      end,
      wait = function() end, cancel = function() end,
    }
    assert.equal(2, select("#", future:result(20)))
    assert.equal("a", (future:result()))
  end)

  it("belongs to its process", function()
    local future = start_stuck()
    helper.in_child(function()
      raises("ClosedError", "belongs to the process", future.done, future)
    end)
    raises("SerializationError", "belongs to the process",
           sk.cerial.serialize, future)
    future:cancel()
  end)

  it("refuses what makes no sense", function()
    local future = start(function() end)
    raises("ArgumentError", "with a colon", future.result, 3)
    raises("ArgumentError", "timeout must be", future.result, future, -1)
    raises("ArgumentError", "timeout must be", future.result, future, 0 / 0)
    raises("ArgumentError", "timeout must be", future.result, future, "1")
    raises("ArgumentError", "fn must be a function, got 3", future.on_done,
           future, 3)
    future:result()
  end)

  it("shows its state", function()
    local future = start_stuck()
    assert.equal("Future: pending", tostring(future))
    future:cancel()
    assert.equal("Future: cancelled", tostring(future))
  end)
end)
