-- What an Skprocess promises while nothing goes wrong: hooks, results, control,
-- talk, syncs, inheritance.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local function process(hooks, config)
  local Class = sk.Skprocess:extend "Sample"
  for name, hook in pairs(hooks) do Class[name] = hook end
  local p = Class()
  for name, value in pairs(config or {}) do p.config[name] = value end
  return p
end

local function nothing() end

-- Tells what it hears until told to stop.
local function echo()
  return process{
    __run__ = function(self)
      local value, why = self:listen()
      if why == nil then self:tell(value) end
    end,
  }
end

describe("Skprocess", function()
  after_each(helper.nothing_left)

  describe("hooks", function()
    it("run in their order, in another process", function()
      local p = process({
        __prerun__ = function(self) self:tell "prerun" end,
        __run__ = function(self) self:tell "run" end,
        __postrun__ = function(self) self:tell "postrun" end,
        __onfinish__ = function(self) self:tell "onfinish" end,
        __result__ = function(self)
          self:tell "result"
          return core.getpid()
        end,
        __error__ = function(self) self:tell "error" end,
      }, { runs = 2 })
      local pid = p:run()
      assert.not_equal(core.getpid(), pid)
      assert.equal(pid, p.pid)
      for _, name in ipairs{ "prerun", "run", "postrun", "prerun", "run",
                             "postrun", "onfinish", "result" } do
        assert.equal(name, p:listen())
      end
      assert.same({ nil, "closed" }, { p:listen() })
    end)

    it("are optional, all but __run__", function()
      assert.is_nil(process({ __run__ = nothing }, { runs = 3 }):run())
    end)

    it("are refused when __run__ is missing", function()
      local ok, err = pcall(function() process({}):start() end)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ArgumentError"))
      assert.matches("Sample: __run__ must be a function", tostring(err))
    end)

    it("see the fields of the start, and change them for themselves",
    function()
      local p = process({
        __run__ = function(self) self.n = self.n + 1 end,
        __result__ = function(self) return self.n end,
      }, { runs = 4 })
      p.n = 10
      assert.equal(14, p:run())
      assert.equal(10, p.n)
    end)

    it("reach what their functions captured", function()
      local captured = { "deep", { n = 3 } }
      local p = process({
        __run__ = nothing,
        __result__ = function() return captured[2].n end,
      }, { runs = 1 })
      assert.equal(3, p:run())
    end)
  end)

  describe("runs", function()
    it("are counted from 0", function()
      local p = process({
        __run__ = function(self) self:tell(self.current_run) end,
      }, { runs = 3 })
      assert.equal(0, p.current_run)
      p:run()
      assert.same({ 0, 1, 2 }, { p:listen(), (p:listen()), (p:listen()) })
      assert.equal(3, p.current_run)
    end)

    it("may be none at all", function()
      local p = process({
        __run__ = function() error "never" end,
        __result__ = function() return "none" end,
      }, { runs = 0 })
      assert.equal("none", p:run())
    end)
  end)

  describe("results", function()
    it("are any value that cerial carries", function()
      local cyclic = { 1, nil, 3 }
      cyclic.self = cyclic
      local p = process({
        __run__ = nothing,
        __result__ = function() return cyclic end,
      }, { runs = 1 })
      local got = p:run()
      assert.equal(got, got.self)
      assert.equal(3, got[3])
    end)

    it("may be tens of megabytes, and are there before anybody asks",
    function()
      local p = process({
        __run__ = nothing,
        __result__ = function() return ("x"):rep(3e7) end,
      }, { runs = 1 })
      p:start()
      helper.wait_until(function() return not p.is_alive end)
      assert.equal(3e7, #p:result())
    end)

    it("stay", function()
      local p = process({
        __run__ = nothing, __result__ = function() return {} end,
      }, { runs = 1 })
      assert.equal(p:run(), p:result())
      assert.is_true(p:wait(0))
    end)

    it("are waited for no longer than said", function()
      local p = echo()
      p:start()
      assert.is_false(p:wait(0.01))
      local ok, err = pcall(p.result, p, 0.01)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ResultTimeoutError"))
      assert.equal(0.01, err.timeout)
      p:stop()
      assert.is_true(p:wait(20))
    end)
  end)

  describe("stop", function()
    it("finishes the section, skips the rest of the run, then ends in order",
    function()
      local begun, go = sk.Flag(false), sk.Flag(false)
      local p = process{
        __run__ = function(self)
          begun:set()
          go:wait(20)
          self.has_run = true
        end,
        __postrun__ = function(self) self.has_run = "postrun ran" end,
        __onfinish__ = function(self) self.has_finished = true end,
        __result__ = function(self)
          return { self.has_run, self.has_finished, self.current_run }
        end,
      }
      p:start()
      assert.is_true(begun:wait(20))
      p:stop()
      go:set()
      assert.same({ true, true, 0 }, p:result())
    end)

    it("may be said by the process itself", function()
      local p = process{
        __run__ = function(self)
          if self.current_run == 6 then self:stop() end
        end,
        __result__ = function(self) return self.current_run end,
      }
      assert.equal(7, p:run())
    end)

    it("wakes a process that listens, which gets what was told before",
    function()
      local p = process{
        __run__ = function(self)
          local value, why = self:listen()
          self.heard = (self.heard or "") .. tostring(value or why)
        end,
        __result__ = function(self) return self.heard end,
      }
      p:start()
      p:tell "a"
      helper.wait_until(function() return p.current_run == 1 end)
      p:stop()
      assert.equal("astopped", p:result())
    end)

    it("of what does not run does nothing", function()
      local p = process({ __run__ = nothing }, { runs = 1 })
      p:stop()
      p:run()
      p:stop()
      p:kill()
    end)
  end)

  describe("kill", function()
    for _, lives in ipairs{ 1, 3 } do
      it("ends it at once, with " .. lives .. " lives", function()
        local begun = sk.Flag(false)
        local p = process({
          __run__ = function()
            begun:set()
            while true do end
          end,
          __error__ = function() return "handled" end,
        }, { lives = lives })
        p:start()
        assert.is_true(begun:wait(20))
        local pid = p.pid
        p:kill()
        assert.is_false(p.is_alive)
        assert.is_true(core.gone(pid))
        local ok, err = pcall(p.result, p)
        assert.is_false(ok)
        assert.is_true(sk.is(err, "ProcessDiedError"))
        assert.equal(9, err.signal)
        assert.equal(err, p.error)
      end)
    end
  end)

  describe("talk", function()
    it("carries any value both ways, in order", function()
      local p = echo()
      p:start()
      local values = { 1, "two", { 3 }, true, false, 5.5, ("x"):rep(1e6) }
      for _, value in ipairs(values) do p:tell(value) end
      for _, value in ipairs(values) do assert.same(value, p:listen(20)) end
      p:tell(nil)
      assert.equal(0, select("#", p:listen(20)) - 1)
      p:stop()
      p:wait()
    end)

    it("times out, on both sides", function()
      local p = process({
        __run__ = function(self) self:tell{ self:listen(0.01) } end,
      }, { runs = 1 })
      p:start()
      assert.same({ nil, "timeout" }, p:listen(20))
      p:wait()
      p = echo()
      p:start()
      assert.same({ nil, "timeout" }, { p:listen(0) })
      assert.same({ nil, "timeout" }, { p:listen(0.01) })
      p:stop()
      p:wait()
    end)

    it("never waits for the one who listens", function()
      local begun, go = sk.Flag(false), sk.Flag(false)
      local p = process({
        __run__ = function(self)
          begun:set()
          go:wait(20)
          local sum = 0
          for _ = 1, 20 do sum = sum + #self:listen() end
          self:tell(sum)
        end,
      }, { runs = 1 })
      p:start()
      assert.is_true(begun:wait(20))
      for _ = 1, 20 do p:tell(("x"):rep(1e6)) end
      go:set()
      assert.equal(2e7, p:listen(20))
      p:wait()
    end)

    it("keeps what was told before the end, however it came", function()
      for _, signal in ipairs{ 0, 9 } do
        local p = process({
          __run__ = function(self)
            for i = 1, 1000 do self:tell(i) end
            if signal > 0 then os.execute("kill -9 " .. self.pid) end
          end,
        }, { runs = 1 })
        p:start()
        p:wait()
        for i = 1, 1000 do assert.equal(i, p:listen()) end
        assert.same({ nil, "closed" }, { p:listen() })
      end
    end)

    it("is bounded: QueueFullError", function()
      local p = process({ __run__ = function(self) self:listen() end },
                        { runs = 1, max_queued = 1000 })
      p:tell(("x"):rep(500))
      local ok, err = pcall(p.tell, p, ("x"):rep(600))
      assert.is_false(ok)
      assert.is_true(sk.is(err, "QueueFullError"))
      assert.matches("a value of 6%d%d bytes is too much: 5%d%d wait for it to "
        .. "listen, max_queued is 1000", err.message)
      p:tell "small"
      p:start()
      p:wait()
    end)

    it("may have a bound beyond all numbers of bytes", function()
      local p = process({
        __run__ = function(self) self:tell(self:listen()) end,
      }, { runs = 1, max_queued = 1e300 })
      p:start()
      p:tell "small"
      assert.equal("small", p:listen(20))
      p:wait()
    end)

    it("may begin before the start", function()
      local p = echo()
      p:tell "early"
      p:start()
      assert.equal("early", p:listen(20))
      p:stop()
      p:wait()
      assert.is_false(p:tell "late")
    end)

    it("refuses what cannot travel, and goes on", function()
      local p = echo()
      p:start()
      local ok, err = pcall(p.tell, p, { coroutine.create(nothing) })
      assert.is_false(ok)
      assert.is_true(sk.is(err, "SerializationError"))
      p:tell "fine"
      assert.equal("fine", p:listen(20))
      p:stop()
      p:wait()
    end)
  end)

  describe("join_in", function()
    it("syncs the fields every so many runs", function()
      local go = sk.Flag(false)
      local p = process({
        __run__ = function(self)
          self.n = self.n + 1
          if self.current_run == 4 then go:wait(20) end
        end,
      }, { runs = 5, join_in = 2 })
      p.n, p.gone = 0, true
      p:start()
      helper.wait_until(function()
        p:sync()
        return p.n == 4
      end)
      assert.is_false(p:sync())
      go:set()
      p:wait()
      assert.equal(5, p.n)
    end)

    it("takes away fields that the process took away", function()
      local p = process({
        __run__ = function(self) self.gone = nil end,
      }, { runs = 1, join_in = 1 })
      p.gone, p.kept = true, true
      p:run()
      assert.is_nil(p.gone)
      assert.is_true(p.kept)
      assert.equal(1, p.config.runs)
    end)

    it("keeps references to the object itself", function()
      local p = process({
        __run__ = function(self) self.part = { parent = self } end,
      }, { runs = 1, join_in = 1 })
      p:run()
      assert.equal(p, p.part.parent)
    end)

    it("fails with the path of what cannot travel", function()
      local p = process({
        __run__ = function(self) self.co = coroutine.create(nothing) end,
      }, { runs = 1, join_in = 1 })
      local ok, err = pcall(p.run, p)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "PostRunError"))
      assert.matches("co", tostring(err.original_error))
    end)
  end)

  describe("timers", function()
    it("have the time of every section and of every run", function()
      local p = process({
        __prerun__ = nothing,
        __run__ = function() core.wait({}, {}, "eager", 0.01) end,
        __result__ = function(self) return self.timers.run.num_times end,
      }, { runs = 5 })
      assert.equal(5, p:run())
      local timers = p.timers
      assert.equal(5, timers.prerun.num_times)
      assert.equal(5, timers.run.num_times)
      assert.equal(5, timers.full_run.num_times)
      assert.equal(1, timers.result.num_times)
      assert.equal(0, timers.postrun.num_times)
      assert.is_nil(timers.postrun.mean)
      assert.is_true(timers.run.min >= 0.009)
      assert.is_true(timers.run.mean < 5)
      assert.is_true(timers.full_run:percentile(95) >= timers.run.min)
    end)

    it("come while it runs, outlive a death, and begin anew with it",
    function()
      local go = sk.Flag(false)
      local p = process({
        __run__ = function(self)
          core.wait({}, {}, "eager", 0.02)
          if self.current_run == 20 then
            go:wait(20)
            os.execute("kill -9 " .. self.pid)
          end
        end,
      }, {})
      p:start()
      helper.wait_until(function() return p.timers.run.num_times > 0 end)
      go:set()
      p:wait(20)
      assert.is_true(p.timers.run.num_times > 0)
      p.config.runs = 2
      p:run()
      assert.equal(2, p.timers.run.num_times)
    end)
  end)

  describe("a finished object", function()
    it("can be changed and started again", function()
      local p = process({
        __run__ = function(self) self.n = self.n + 1 end,
        __result__ = function(self) return self.n end,
      }, { runs = 2 })
      p.n = 0
      assert.equal(2, p:run())
      p.n, p.config.runs = 100, 5
      assert.equal(105, p:run())
      assert.equal(5, p.current_run)
    end)

    it("is not started twice at once", function()
      local p = echo()
      p:start()
      assert.has_error(function() p:start() end)
      p:stop()
      p:wait()
    end)

    it("says so when it has not been started", function()
      local p = echo()
      for _, name in ipairs{ "wait", "result", "listen" } do
        local ok, err = pcall(p[name], p)
        assert.is_false(ok)
        assert.matches("has not been started", tostring(err))
      end
      assert.is_false(p.is_alive)
      assert.is_nil(p.pid)
    end)
  end)

  describe("config", function()
    it("is checked at the start, at the caller's line", function()
      for _, case in ipairs{
        { "rums", 3, "did you mean \"runs\"" },
        { "runs", -1, "runs" }, { "runs", 1.5, "runs" },
        { "lives", 0, "lives" }, { "join_in", 0, "join_in" },
        { "time_limit", 0, "time_limit" }, { "time_limit", "x", "time_limit" },
        { "timeouts", { rum = 1 }, "rum" },
        { "timeouts", { run = -1 }, "timeouts.run" },
      } do
        local p = echo()
        p.config[case[1]] = case[2]
        local ok, err = pcall(function() p:start() end)
        assert.is_false(ok)
        assert.is_true(sk.is(err, "ArgumentError"))
        assert.matches(case[3], tostring(err), 1, true)
        assert.matches("skprocess_spec", tostring(err))
      end
    end)
  end)

  describe("classes", function()
    local Base = sk.Skprocess:extend "Base"
    local function private_helper(self) self.n = self.n + 10 end
    function Base:init(n)
      self.n = n
      self.config.runs = 1
    end
    function Base:_step() private_helper(self) end
    function Base:__run__() self:_step() end
    function Base:__result__() return self.n end

    it("inherit hooks, constructors and private helpers", function()
      local Below = Base:extend "Below"
      local Lowest = Below:extend "Lowest"
      function Lowest:__result__() return Base.__result__(self) + 0.5 end
      assert.equal(15, Below(5):run())
      assert.equal(15.5, Lowest(5):run())
    end)

    it("may be made by sk.class, and in a function", function()
      local function make()
        local Local = sk.class("Local", sk.Skprocess)
        function Local:__run__() self:stop() end
        function Local.__result__() return "local" end
        return Local()
      end
      assert.equal("local", make():run())
    end)

    it("have no computed fields themselves", function()
      assert.is_nil(Base.config)
      assert.is_nil(Base.pid)
      assert.equal("class Base", tostring(Base))
    end)
  end)

  describe("nesting", function()
    it("lets a process start processes", function()
      local p = process({
        __run__ = function(self)
          local inner = process({
            __run__ = nothing,
            __result__ = function() return core.getpid() end,
          }, { runs = 1, lives = 2 })
          self.pids = { inner:run(), core.getpid() }
        end,
        __result__ = function(self) return self.pids end,
      }, { runs = 1 })
      local pids = p:run()
      assert.not_equal(pids[1], pids[2])
    end)

    it("works in a Pool's workers", function()
      local pool = sk.Pool{ workers = 2 }
      local function task(x)
        local p = process({
          __run__ = nothing, __result__ = function() return x * 2 end,
        }, { runs = 1 })
        return p:run()
      end
      assert.same({ 2, 4, 6, n = 3 }, pool:map(task, { 1, 2, 3 }))
      pool:close()
    end)
  end)

  describe("timeout", function()
    it("raises when the verb takes longer, and lets the process go on",
    function()
      local p = echo()
      for _, verb in ipairs{ "run", "wait", "result", "listen" } do
        local view = p:timeout(0.01)
        local ok, err = pcall(view[verb], view)
        assert.is_false(ok)
        assert.is_true(sk.is(err, "ResultTimeoutError"))
        assert.equal(0.01, err.timeout)
        assert.is_true(p.is_alive)
      end
      p:tell "x"
      assert.equal("x", p:timeout(20):listen())
      p:stop()
      assert.is_true(p:timeout(20):wait())
      assert.is_nil(p:timeout(20):result())
    end)

    it("is checked", function()
      assert.has_error(function() echo():timeout(-1) end)
      assert.has_error(function() echo():timeout "x" end)
    end)
  end)

  describe("background", function()
    local function adder()
      return process({
        __run__ = function(self) self.n = self:listen(20) end,
        __result__ = function(self) return self.n + 1 end,
      }, { runs = 1 })
    end

    it("gives a future of the result at once", function()
      local p = adder()
      local future = p:background():run()
      assert.is_false(future:done())
      local seen
      future:on_done(function(f) seen = f:result() end)
      p:tell(41)
      assert.equal(42, future:result(20))
      assert.equal(42, seen)
    end)

    it("works with timeout, in any order", function()
      for _, view in ipairs{
        function(p) return p:timeout(0.01):background() end,
        function(p) return p:background():timeout(0.01) end,
      } do
        local p = adder()
        local future = view(p):run()
        local ok, err = pcall(future.result, future)
        assert.is_false(ok)
        assert.is_true(sk.is(err, "ResultTimeoutError"))
        p:kill()
      end
    end)

    it("gives a future of the end, of a message, of an error", function()
      local p = adder()
      p:start()
      local at_end, heard = p:background():wait(), p:background():listen()
      p:tell "no number"
      assert.is_true(at_end:result(20))
      assert.same({ nil, "closed" }, { heard:result(20) })
      local failed = p:background():result()
      local ok, err = pcall(failed.result, failed)
      assert.is_false(ok)
      assert.is_true(sk.is(err, "ResultError"))
    end)

    it("kills the process when its future is cancelled", function()
      local p = adder()
      local future = p:background():run()
      assert.is_true(future:cancel())
      assert.is_false(p.is_alive)
      assert.has_error(function() future:result() end)
    end)
  end)

  it("ends its process when nobody holds the object", function()
    local p = process{ __run__ = function(self) self:listen() end }
    p:start()
    local pid = p.pid
    p = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    helper.wait_until(function() return core.gone(pid) end)
  end)

  it("belongs to the process that made it", function()
    local p = echo()
    p:start()
    helper.in_child(function()
      for _, name in ipairs{ "tell", "wait", "stop", "start" } do
        local ok, err = pcall(p[name], p)
        assert(not ok and sk.is(err, "ClosedError"), name .. tostring(err))
      end
    end)
    p:stop()
    assert.is_true(p:wait(20))
  end)
end)
