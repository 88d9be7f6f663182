-- Errors, deaths and limits of an Skprocess: what each costs, and what comes
-- of the last life.

local core = require "suitkaise.core"
local helper = require "spec.helper"
local sk = require "suitkaise"

local GRACE = 0.25 -- seconds that a limit may be late
local SLACK = 1.5  -- that a busy machine may add

local function process(hooks, config)
  local Class = sk.Skprocess:extend "Sample"
  for name, hook in pairs(hooks) do Class[name] = hook end
  local p = Class()
  for name, value in pairs(config or {}) do
    if name == "timeouts" then
      for section, seconds in pairs(value) do
        p.config.timeouts[section] = seconds
      end
    else
      p.config[name] = value
    end
  end
  return p
end

local function nothing() end

local function fails(p)
  local ok, err = pcall(p.run, p)
  assert.is_false(ok)
  return err
end

local function die(signal)
  os.execute("kill -" .. (signal or 9) .. " "
    .. require "suitkaise".getpid())
end

describe("an error in a hook", function()
  after_each(helper.nothing_left)

  local CLASSES = {
    prerun = "PreRunError", run = "RunError", postrun = "PostRunError",
    onfinish = "OnFinishError", result = "ResultError",
  }

  for section, class in pairs(CLASSES) do
    it("of __" .. section .. "__ is a " .. class, function()
      local thrown = { code = 7, list = { 1, 2 } }
      local p = process({
        __run__ = nothing,
        ["__" .. section .. "__"] = function(self)
          if self.current_run == 1 or section == "result"
             or section == "onfinish" then
            error(thrown)
          end
        end,
      }, { runs = 2 })
      local err = fails(p)
      assert.is_true(sk.is(err, class))
      assert.is_true(sk.is(err, "ProcessError"))
      assert.same(thrown, err.original_error)
      assert.equal(CLASSES[section]:match "Run" and 1 or 2, err.current_run)
      assert.equal(p.pid, err.pid)
      assert.matches("skprocess_lives_spec.lua:%d+", err.traceback)
      assert.is_nil(err.traceback:find("processing/", 1, true))
      assert.matches("__" .. section .. "__", tostring(err), 1, true)
      assert.equal(err, p.error)
    end)
  end

  it("says its text after what failed", function()
    local err = fails(process({ __run__ = function() error("oh no", 0) end }))
    assert.equal("oh no", err.original_error)
    assert.matches("Sample: __run__ of run 0 failed\n  caused by: oh no",
                   tostring(err), 1, true)
  end)

  it("keeps an error of ours as one", function()
    local err = fails(process({ __run__ = function()
      require "suitkaise.errors".raise("QueueFullError", { message = "m" })
    end }))
    assert.is_true(sk.is(err.original_error, "QueueFullError"))
  end)

  it("that cannot travel arrives as its text", function()
    local err = fails(process({ __run__ = function()
      error(setmetatable({ co = coroutine.create(nothing) }, {
        __tostring = function() return "with a coroutine" end,
      }))
    end }))
    assert.equal("with a coroutine", err.original_error)
  end)

  it("may be no table and no string", function()
    assert.is_false(fails(process({
      __run__ = function() error(false) end,
    })).original_error)
    assert.is_nil(fails(process({
      __run__ = function() error(nil) end,
    })).original_error)
  end)

  it("of the stack is one like any other", function()
    local function deep() return 1 + deep() end
    local err = fails(process({ __run__ = function() deep() end }))
    assert.is_true(sk.is(err, "RunError"))
    assert.matches("stack overflow", tostring(err.original_error))
  end)

  it("of a result that cannot travel is a ResultError", function()
    local err = fails(process({
      __run__ = nothing,
      __result__ = function() return { co = coroutine.create(nothing) } end,
    }, { runs = 1 }))
    assert.is_true(sk.is(err, "ResultError"))
    assert.is_true(sk.is(err.original_error, "SerializationError"))
  end)
end)

describe("a life", function()
  after_each(helper.nothing_left)

  it("is what an error costs; the same process repeats the run", function()
    local p = process({
      __prerun__ = function(self) self.pre = (self.pre or 0) + 1 end,
      __run__ = function(self)
        self.tries = (self.tries or 0) + 1
        if self.tries == 2 or self.tries == 3 then error "again" end
      end,
      __result__ = function(self)
        return { self.pre, self.tries, self.current_run }
      end,
    }, { runs = 3, lives = 3 })
    assert.same({ 5, 5, 3 }, p:run())
  end)

  it("does not come back", function()
    local p = process({
      __run__ = function(self)
        self.tries = (self.tries or 0) + 1
        if self.tries % 2 == 0 then error(self.tries) end
      end,
    }, { runs = 100, lives = 3 })
    assert.matches("6", tostring(fails(p).original_error))
  end)

  it("is what a death costs; a new process goes on from the start",
  function()
    local deaths = sk.Counter(0)
    local p = process({
      __run__ = function(self)
        self.n = self.n + 1
        if self.current_run == 2 and deaths:increment() < 3 then die() end
      end,
      __result__ = function(self) return self.n end,
    }, { runs = 4, lives = 3 })
    p.n = 10
    assert.equal(14, p:run())
    assert.equal(3, deaths.value)
  end)

  it("goes on from the last sync", function()
    local deaths = sk.Counter(0)
    local p = process({
      __run__ = function(self)
        self:tell(self.current_run)
        self.n = self.n + 1
        if self.current_run == 5 and deaths:increment() == 1 then die() end
      end,
      __result__ = function(self) return self.n end,
    }, { runs = 8, lives = 2, join_in = 2 })
    p.n = 0
    p.unsynced = coroutine.create(nothing)
    p.unsynced = nil
    assert.equal(8, p:run())
    for _, run in ipairs{ 0, 1, 2, 3, 4, 5, 4, 5, 6, 7 } do
      assert.equal(run, p:listen())
    end
    assert.equal(8, p.n)
  end)

  it("keeps messages that nobody had read", function()
    local deaths = sk.Counter(0)
    local p = process({
      __run__ = function(self)
        if self.current_run == 1 and deaths:increment() == 1 then die() end
        self:tell(self:listen(20))
      end,
    }, { runs = 3, lives = 2, join_in = 1 })
    for i = 1, 3 do p:tell(i) end
    p:start()
    for i = 1, 3 do assert.equal(i, p:listen(20)) end
    p:wait()
  end)

  it("is counted together, whatever took it", function()
    local n = sk.Counter(0)
    local p = process({ __run__ = function()
      if n:increment() % 2 == 0 then die() end
      error "again"
    end }, { lives = 5 })
    assert.is_true(sk.is(fails(p), "RunError"))
    assert.equal(5, n.value)
  end)

  it("is not saved by os.exit", function()
    local err = fails(process({
      __run__ = function() os.exit(3) end,
    }, { lives = 2 }))
    assert.is_true(sk.is(err, "ProcessDiedError"))
    assert.equal(3, err.exit_code)
    assert.is_nil(err.signal)
  end)

  it("is not asked for by errors at the end", function()
    for _, name in ipairs{ "onfinish", "result" } do
      local n = sk.Counter(0)
      fails(process({
        __run__ = nothing,
        ["__" .. name .. "__"] = function() n:increment() error "x" end,
      }, { runs = 1, lives = 5 }))
      assert.equal(1, n.value)
    end
  end)

  it("ends with stop, also after a death", function()
    local deaths, begun = sk.Counter(0), sk.Flag(false)
    local p
    p = process({
      __run__ = function(self)
        if deaths:increment() == 1 then die() end
        begun:set()
        self:listen()
      end,
      __result__ = function(self) return self.current_run end,
    }, { lives = 2 })
    p:start()
    assert.is_true(begun:wait(20))
    p:stop()
    assert.equal(1, p:result(20))
  end)
end)

describe("a death", function()
  after_each(helper.nothing_left)

  for _, lives in ipairs{ 1, 2 } do
    it("names the signal, with " .. lives .. " lives", function()
      local err = fails(process({
        __run__ = function() die(11) end,
      }, { lives = lives }))
      assert.is_true(sk.is(err, "ProcessDiedError"))
      assert.equal(11, err.signal)
      assert.is_nil(err.exit_code)
      assert.matches("killed by SIGSEGV", tostring(err))
      assert.equal(0, err.current_run)
    end)

    it("is handled by __error__ in a fresh process, with " .. lives
       .. " lives", function()
      local p = process({
        __run__ = function(self)
          self.n = self.n + 1
          if self.n == 3 then die() end
        end,
        __error__ = function(self)
          return { self.n, self.error.signal, core.getpid() }
        end,
      }, { lives = lives, join_in = 1 })
      p.n = 0
      local result = p:run()
      assert.equal(lives == 1 and 2 or 2, result[1])
      assert.equal(9, result[2])
      assert.not_equal(core.getpid(), result[3])
      assert.equal(9, p.error.signal)
    end)

    it("of __error__ too is an error, with " .. lives .. " lives", function()
      local p = process({
        __run__ = function() die() end,
        __error__ = function() die(15) end,
      }, { lives = lives })
      local err = fails(p)
      assert.is_true(sk.is(err, "ErrorHandlerError"))
      assert.equal(15, err.original_error.signal)
      assert.equal(9, err.failure.signal)
    end)

    it("of an __error__ that handles an error begins nothing again, with "
       .. lives .. " lives", function()
      local runs, calls = sk.Counter(0), sk.Counter(0)
      local err = fails(process({
        __run__ = function() runs:increment() end,
        __result__ = function() error("first", 0) end,
        __error__ = function()
          calls:increment()
          os.exit(3)
        end,
      }, { runs = 1, lives = lives }))
      assert.is_true(sk.is(err, "ErrorHandlerError"))
      assert.equal(3, err.original_error.exit_code)
      assert.is_true(sk.is(err.failure, "ResultError"))
      assert.equal("first", err.failure.original_error)
      assert.same({ 1, 1 }, { runs.value, calls.value })
    end)
  end
end)

describe("__error__", function()
  after_each(helper.nothing_left)

  it("runs in the process that is out of lives, and its value is the result",
  function()
    local p = process({
      __run__ = function(self)
        self.kept = "field"
        error "x"
      end,
      __error__ = function(self)
        return { self.kept, self.error.current_run,
                 tostring(self.error):match "RunError" }
      end,
    })
    assert.same({ "field", 0, "RunError" }, p:run())
    assert.is_true(sk.is(p.error, "RunError"))
  end)

  it("that returns nothing leaves the error", function()
    local called = sk.Flag(false)
    local err = fails(process({
      __run__ = function() error "x" end,
      __error__ = function() called:set() end,
    }))
    assert.is_true(sk.is(err, "RunError"))
    assert.is_true(called.value)
  end)

  it("that returns false has a result", function()
    assert.is_false(process({
      __run__ = function() error "x" end,
      __error__ = function() return false end,
    }):run())
  end)

  it("that fails is an ErrorHandlerError, which knows the first", function()
    local err = fails(process({
      __run__ = function() error("first", 0) end,
      __error__ = function() error("second", 0) end,
    }))
    assert.is_true(sk.is(err, "ErrorHandlerError"))
    assert.equal("second", err.original_error)
    assert.equal("first", err.failure.original_error)
  end)

  it("is called for errors at the end as well", function()
    assert.equal("OnFinishError", process({
      __run__ = nothing,
      __onfinish__ = function() error "x" end,
      __error__ = function(self)
        return tostring(self.error):match "%a+Error"
      end,
    }, { runs = 1 }):run())
  end)
end)

-- ---- limits ----

local function sleep() os.execute "sleep 30" end

local function spin()
  local x = 0
  while true do x = x + 1 end
end

local function swallow()
  while true do
    pcall(function()
      while true do end
    end)
  end
end

local function in_coroutine() coroutine.wrap(spin)() end

local function stop_self() die "STOP" end

local function wait_for_nothing()
  local ends = core.now() + 30
  repeat core.wait({}, {}, "eager", 30) until core.now() > ends
end

local STUCK = {
  { "in a shell command", sleep }, { "in a loop", spin },
  { "in code that swallows errors", swallow },
  { "in a coroutine", in_coroutine }, { "stopped by a signal", stop_self },
  { "in a blocking C call", wait_for_nothing },
}

describe("a limit", function()
  after_each(helper.nothing_left)

  for _, case in ipairs(STUCK) do
    local name, stuck = case[1], case[2]

    it("holds for a section that is " .. name, function()
      local p = process({
        __run__ = function(self)
          if self.current_run == 1 then stuck() end
        end,
      }, { timeouts = { run = 0.3 } })
      local begun = core.now()
      local err = fails(p)
      local took = core.now() - begun
      assert.is_true(sk.is(err, "ProcessTimeoutError"))
      assert.equal("run", err.section)
      assert.equal(0.3, err.timeout)
      assert.equal(1, err.current_run)
      assert.matches("__run__ of run 1 took longer than 0.3 s", tostring(err))
      assert.is_true(took >= 0.3)
      assert.is_true(took < 0.3 + GRACE + SLACK)
    end)

    it("costs a life for a section that is " .. name, function()
      local tries = sk.Counter(0)
      local p = process({
        __run__ = function()
          if tries:increment() < 3 then stuck() end
        end,
        __result__ = function() return "done" end,
      }, { runs = 1, lives = 3, timeouts = { run = 0.1 } })
      assert.equal("done", p:run())
      assert.equal(3, tries.value)
    end)
  end

  it("holds while the owner computes and waits for nothing", function()
    local ended = sk.Counter(0)
    local p = process({
      __run__ = spin,
      __error__ = function() ended:increment() end,
    }, { timeouts = { run = 0.1 } })
    p:start()
    local deadline = core.now() + 20
    while ended.value == 0 and core.now() < deadline do end
    assert.equal(1, ended.value)
    assert.is_false(pcall(p.result, p))
  end)

  for _, section in ipairs{ "prerun", "postrun", "onfinish", "result" } do
    it("can be set for " .. section, function()
      local err = fails(process({
        __run__ = nothing,
        ["__" .. section .. "__"] = sleep,
      }, { runs = 1, timeouts = { [section] = 0.1 } }))
      assert.is_true(sk.is(err, "ProcessTimeoutError"))
      assert.equal(section, err.section)
    end)
  end

  for _, case in ipairs(STUCK) do
    it("can be set for error, which runs once though it is " .. case[1],
    function()
      local calls = sk.Counter(0)
      local err = fails(process({
        __run__ = function() error("first", 0) end,
        __error__ = function()
          calls:increment()
          case[2]()
        end,
      }, { timeouts = { error = 0.1 } }))
      assert.is_true(sk.is(err, "ProcessTimeoutError"))
      assert.equal("error", err.section)
      assert.equal(0.1, err.timeout)
      assert.equal("first", err.failure.original_error)
      assert.equal(1, calls.value)
    end)
  end

  it("interrupts Lua code where it is, and the process goes on", function()
    local p = process({
      __run__ = function(self)
        self.pids = self.pids or {}
        self.pids[#self.pids + 1] = core.getpid()
        -- not compiled: the hook gets through
        if #self.pids == 1 then while true do core.now() end end
      end,
      __result__ = function(self) return self.pids end,
    }, { runs = 1, lives = 2, timeouts = { run = 0.1 } })
    local pids = p:run()
    assert.equal(2, #pids)
    assert.equal(pids[1], pids[2])
  end)

  it("interrupts a coroutine where it is, and leaves none behind", function()
    local p = process({
      __run__ = function(self)
        self.pids = self.pids or {}
        self.pids[#self.pids + 1] = core.getpid()
        if #self.pids > 1 then return end
        local co = coroutine.create(function()
          coroutine.wrap(function() while true do core.now() end end)()
        end)
        self.outcome = { coroutine.resume(co) }
      end,
      __result__ = function(self)
        local f = coroutine.wrap(function(...)
          coroutine.yield(...)
          error "e"
        end)
        return { self.pids, f(1, nil, 3), (select(2, pcall(f))) }
      end,
    }, { runs = 1, lives = 2, timeouts = { run = 0.1 } })
    local result = p:run()
    assert.equal(2, #result[1])
    assert.equal(result[1][1], result[1][2])
    assert.equal(1, result[2])
    assert.matches("e$", result[3])
  end)

  it("that is not reached changes nothing, in many short sections", function()
    local hooked = 0
    local p = process({
      __run__ = function(self)
        self.n = (self.n or 0) + 1
        if debug.gethook() then hooked = hooked + 1 end
      end,
      __postrun__ = nothing,
      __result__ = function(self) return { self.n, hooked } end,
    }, { runs = 3000, timeouts = { run = 5, postrun = 0.5 } })
    assert.same({ 3000, 0 }, p:run())
  end)
end)

describe("time_limit", function()
  after_each(helper.nothing_left)

  it("ends it as stop does", function()
    local p = process({
      __run__ = function() core.wait({}, {}, "eager", 0.01) end,
      __onfinish__ = function(self) self.has_finished = true end,
      __result__ = function(self)
        return { self.has_finished, self.current_run > 0 }
      end,
    }, { time_limit = 0.2 })
    local begun = core.now()
    assert.same({ true, true }, p:run())
    assert.is_true(core.now() - begun >= 0.2)
    assert.is_true(core.now() - begun < 0.2 + GRACE + SLACK)
  end)

  it("ends it in order between sections as well", function()
    for _ = 1, 5 do
      local p = process({
        __prerun__ = nothing, __run__ = nothing, __postrun__ = nothing,
        __result__ = function() return "in order" end,
      }, { time_limit = 0.05 })
      assert.equal("in order", p:run())
    end
  end)

  it("wakes a process that listens", function()
    local p = process({
      __run__ = function(self) self.why = select(2, self:listen()) end,
      __result__ = function(self) return self.why end,
    }, { time_limit = 0.5 })
    assert.equal("stopped", p:run())
  end)

  for _, case in ipairs(STUCK) do
    it("holds for a section that is " .. case[1], function()
      local err = fails(process({
        __run__ = case[2],
      }, { time_limit = 0.5, lives = 3 }))
      assert.is_true(sk.is(err, "ProcessTimeoutError"))
      assert.equal(0.5, err.timeout)
      assert.equal("run", err.section)
    end)
  end

  it("is the limit that is named, though the section has a longer one",
     function()
    local runs = sk.Counter(0)
    local err = fails(process({
      __run__ = function()
        runs:increment()
        sk.sktime.sleep(30)
      end,
    }, { time_limit = 0.1, lives = 3, timeouts = { run = 30 } }))
    assert.is_true(sk.is(err, "ProcessTimeoutError"))
    assert.equal(0.1, err.timeout)
    assert.matches("went on after the time limit of 0.1 s", tostring(err))
    assert.equal(1, runs.value)
  end)

  it("may be shorter than the clock can tell", function()
    local p = process({
      __run__ = nothing,
      __result__ = function(self) return self.current_run end,
    }, { time_limit = 1e-300, runs = 3 })
    assert.equal(0, p:run())
    local err = fails(process({
      __run__ = function() sk.sktime.sleep(30) end,
    }, { timeouts = { run = 1e-300 } }))
    assert.equal(1e-300, err.timeout)
  end)
end)
